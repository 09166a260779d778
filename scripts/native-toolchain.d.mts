export function findCompiler(): {
  readonly command: string;
  readonly version: string;
  readonly target: string;
} | null;
export function compileFlags(options: { readonly sanitize: 'address' | 'thread' | null }): string[];

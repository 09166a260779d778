export function servePage(
  entry: string,
  files?: Readonly<Record<string, Uint8Array>>,
): Promise<{ url: string; bytes: number; close(): Promise<void> }>;

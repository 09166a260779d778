interface Drawn {
  readonly ours: string;
  readonly peer: string;
  readonly ratio: number;
  readonly ratioLow: number;
  readonly ratioHigh: number;
}

/** The drawing of a document of `bench --json`, as SVG. */
export function drawing(document: { readonly machine: string; readonly pairs: readonly Drawn[] }): string;

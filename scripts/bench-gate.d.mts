interface BenchDocument {
  readonly hashers: readonly string[];
  readonly device: { readonly id: string; readonly name: string };
  readonly pairs: readonly { readonly id: string; readonly ours: string; readonly ratio: number }[];
}

interface Row {
  readonly id: string;
  readonly committed: number;
  readonly measured: number | null;
  readonly verdict: string;
}

/** Compares the rows of two documents of `bench --json`; nothing where `why` says that the machines are unlike. */
export function compared(
  committed: BenchDocument,
  measured: BenchDocument,
): { readonly why: string | null; readonly rows: readonly Row[]; readonly failed: boolean };

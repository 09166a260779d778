/** What the page says of one contract case. */
export interface PageReport {
  readonly name: string;
  readonly status: 'passed' | 'skipped' | 'failed';
  readonly detail: string | null;
}

export interface SealReport {
  readonly sha256: string | null;
  readonly fsverity: string;
  readonly residency: string;
  readonly immutability: string;
  readonly verified: boolean;
  /** Names that the library left on the global object. */
  readonly newGlobals: readonly string[];
}

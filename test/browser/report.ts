/** What the page says of one contract case. */
export interface PageReport {
  readonly name: string;
  readonly status: 'passed' | 'skipped' | 'failed';
  readonly detail: string | null;
}

/** What a page's audit log holds after a seal and a verification on the page's own GPUDevice. */
export interface AuditPageReport {
  readonly types: readonly string[];
  readonly verified: boolean;
  /** The page's GPUDevice still works after the manager and the adopted device were closed. */
  readonly ownDeviceWorks: boolean;
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

/** What an engine in a page computed on sealed weights. */
export interface EnginePageReport {
  /** max|a - b| / max|b| against the plain model on the CPU. */
  readonly relativeError: number;
  readonly verified: boolean;
  readonly witness: Readonly<Record<string, number>>;
  /** Error code of a run over damaged weights. */
  readonly damaged: string;
  readonly healedToSameBits: boolean;
  /** Error code of a run after the GPUDevice is gone. */
  readonly lost: string;
}

/** What became of weights that a page sealed from a URL. */
export interface RuntimeSeal {
  /** "sealed" or the error's code. */
  readonly outcome: string;
  readonly verified: boolean;
  readonly cache: string | null;
  readonly evicted: boolean;
  readonly sealMs: number;
  readonly longestBlockMs: number;
}

/** What a worker of the page did, and the files of its audit log. */
export interface RuntimeAudit {
  readonly verified: boolean;
  /** Error code of a verification after the GPUDevice is gone. */
  readonly afterLoss: string;
  readonly files: readonly { readonly name: string; readonly text: string }[];
  readonly listed: boolean;
  readonly fsverity: string;
}

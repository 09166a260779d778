/** One tensor of a manifest, as `guard.manifest()` and `vram-residency digest --json --tensors` write it. */
export interface ManifestTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly fsverity: string;
}

/** `POST /v1/guards`: a guard in an engine's own process reports what it watches. */
export interface GuardRequest {
  /** 1 to 128 of [A-Za-z0-9._-]: what the engine calls the model. */
  readonly model: string;
  /** The engine's process on this host. */
  readonly pid: number;
  /** What the process calls itself. */
  readonly client: string;
  readonly manifest: { readonly v: 1; readonly tensors: readonly ManifestTensor[] };
}

/** What a guard found; docs/guard.md says what each word means. */
export type GuardOutcome =
  | 'clean'
  | 'damaged'
  | 'changed'
  | 'transient'
  | 'busy'
  | 'suspended'
  | 'unavailable';

/** `POST /v1/guards/{id}/reports`: what `Report.as_dict()` gives; other members are ignored. */
export interface GuardReport {
  readonly v: 1;
  readonly type: 'guard.report';
  readonly operation: string;
  readonly outcome: GuardOutcome;
  readonly against: 'first-use' | 'manifest';
  readonly tensors: number;
  readonly byte_length: number;
  readonly damaged_blocks: number;
  readonly elapsed_ms: number;
  readonly message: string | null;
  /** RFC 3339. */
  readonly at: string;
}

/** A claim of the process that made it: it changes no state of the worker's own models. */
export interface GuardView {
  readonly guardId: string;
  readonly model: string;
  readonly pid: number;
  /** Of that process, by the kernel, when it registered. */
  readonly uid: number;
  readonly client: string;
  readonly tensors: number;
  readonly byteLength: number;
  /** SHA-256 of the manifest's tensors in canonical JSON, hex. */
  readonly manifestSha256: string;
  readonly registeredAt: string;
  /** The latest report, and when it came; null before the first. */
  readonly lastReport: GuardReport | null;
  readonly lastReportAt: string | null;
  readonly reports: number;
}

/** `GET /v1/guards`. */
export interface GuardList {
  readonly guards: readonly GuardView[];
}

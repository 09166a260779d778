/** `resident`: hashed in place. `readback`: brought back and hashed on the host. `sampled`: some groups, hashed in place. */
export type VerifyMode = 'resident' | 'readback' | 'sampled';

/** Consecutive damaged blocks of 4096 bytes; where the layout is `tensors`, of one tensor. */
export interface DamagedRange {
  readonly firstBlock: number;
  readonly blocks: number;
  readonly byteOffset: number;
  readonly byteLength: number;
  /** Where the layout is `tensors`: the tensor that these blocks belong to, the first of those that share a place. */
  readonly tensor?: string;
  /** Bytes from the first byte of that tensor. */
  readonly byteInTensor?: number;
}

/** What a sampled verification hashed, and what it may have missed. */
export interface SampleReport {
  readonly groups: number;
  readonly totalGroups: number;
  /** By number of damaged groups: the probability, from 0 to 1, that none of them was drawn. */
  readonly chanceOfMiss: readonly { readonly damagedGroups: number; readonly chance: number }[];
}

/** What a verification found. */
export interface VerificationReport {
  /** The whole region is as sealed. Never true of a sample. */
  readonly verified: boolean;
  /** Only a sample was hashed: this says nothing about the rest. */
  readonly sampled: boolean;
  readonly shardId: string;
  readonly sealId: string;
  readonly mode: VerifyMode;
  readonly byteLength: number;
  /** The sealed digest. */
  readonly expected: string;
  /** The digest of what is in device memory; null where only a sample of it was hashed. */
  readonly actual: string | null;
  /** What a sampled verification hashed; null in the other modes. */
  readonly sample: SampleReport | null;
  /** A mismatch that a second run did not reproduce: neither clean nor proof of damage. */
  readonly transient: boolean;
  /**
   * Ascending, not overlapping, and of one tensor not touching each other. Whole groups of 128 blocks where `exact` is
   * false.
   */
  readonly damaged: readonly DamagedRange[];
  /** Started 512 KiB groups with damage in them. */
  readonly damagedGroups: number;
  /** Whether `damaged` names single blocks. */
  readonly exact: boolean;
  /** RFC 3339, UTC, milliseconds: when the verification began. */
  readonly startedAt: string;
  readonly durationMs: number;
}

import type { Immutability } from '../../device/index.js';
import type { SealedFile } from '../../seal/index.js';
import type { RetainedHashes } from '../state/index.js';

/** The facts about frozen bytes that a seal states once they are proved to be the source's. */
export interface Proved {
  readonly byteLength: number;
  /** 64 hex digits; null where the host did not compute it. */
  readonly sha256: string | null;
  readonly fsverity: string;
  readonly retained: RetainedHashes;
  /** The published files behind a tensor source; empty for a plain one. */
  readonly files: readonly SealedFile[];
  readonly immutability: Immutability;
}

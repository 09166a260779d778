import type { OptionKeys, VerifyMode } from '../../base/index.js';
import type { Source } from '../../source/index.js';
import { OPERATION_KEYS, type OperationOptions } from '../state/index.js';

export interface VerifyOptions extends OperationOptions {
  /**
   * `resident` (default): hashed in place. `readback`: copied to the host and hashed there. `sampled`: some groups, drawn at
   * random, hashed in place. A sample verifies nothing: where it finds no damage the report says `verified: false, sampled:
   * true`, it
   * does not count for execute(), and a shard in quarantine stays INTEGRITY_VIOLATION.
   */
  readonly mode?: VerifyMode | undefined;
  /** `sampled`: how many groups of 512 KiB are drawn; all of them if there are fewer. */
  readonly groups?: number | undefined;
  /** A source with the sealed bytes, to name single blocks where only group hashes are retained. */
  readonly source?: Source | undefined;
}

// Does not compile unless it lists exactly the options of the interface.
export const VERIFY_KEYS = {
  ...OPERATION_KEYS,
  mode: true,
  groups: true,
  source: true,
} satisfies OptionKeys<VerifyOptions>;

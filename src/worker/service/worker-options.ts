import type { CommitRequest } from '../../api-schema/index.js';
import type { Clock } from '../../base/index.js';
import type { ShareServer } from '../../handover/index.js';
import type { VramManager } from '../../manager/index.js';
import type { EngineEndpoint } from '../executions/index.js';
import type { GuardClaim } from '../guards/index.js';
import type { ShardWatch } from '../models/index.js';
import type { OnnxHost } from '../onnx/index.js';
import type { ScrubSettings } from './scrubbing.js';

/** Lends models to other processes. */
export type Sharing = Pick<ShareServer, 'offer' | 'withdraw' | 'models' | 'leases'>;

export interface WorkerOptions {
  /** The worker does not close it. */
  readonly manager: VramManager;
  /** One of the manager's observers. */
  readonly watch: ShardWatch;
  /** Real paths of the folders that models may be loaded from. */
  readonly roots: readonly string[];
  /** `name` or `name:port` of servers that models may be loaded from. */
  readonly urlHosts: readonly string[];
  /** Must be resident for the worker to be ready. */
  readonly models: readonly CommitRequest[];
  readonly stallMs: number;
  readonly reservationMs: number;
  readonly mostModels: number;
  /** null: no scrubbing. */
  readonly scrub: ScrubSettings | null;
  /** Computes on ONNX models in this process; null for none. */
  readonly onnx: OnnxHost | null;
  /** Compute servers on this host. */
  readonly engines: readonly EngineEndpoint[];
  /** How many executions of one model may wait. */
  readonly mostQueued: number;
  /** How long a drain waits for executions before it cancels them. */
  readonly drainMs: number;
  /** Lends shared models to other processes; null: no socket for that. Closed by its owner, after the worker. */
  readonly share: Sharing | null;
  /** Records guards' claims. */
  readonly recordClaim: (claim: GuardClaim) => Promise<void>;
  /** Receives unexpected failures. */
  readonly onUnforeseen: (error: unknown) => void;
  readonly clock: Clock;
  readonly randomHex: (bytes: number) => string;
}

import type { Clock } from '../base/index.js';
import type { DeviceInfo, SharedMemory } from '../device/index.js';
import type { LendRequest, Loan } from '../manager/index.js';
import type { ShareLimits } from './limits.js';
import type { Offers } from './offers.js';
import type { Handover } from './port.js';

/** The server's interface for its sessions. */
export interface SessionHost {
  readonly clock: Clock;
  readonly limits: ShareLimits;
  readonly workerId: string;
  readonly instance: string;
  readonly device: DeviceInfo;
  readonly offers: Offers;
  /** Takes one lease from a user's limit. False if none is left. */
  mayLend(uid: number): boolean;
  /** Runs verifications one after another, so that many clients cannot flood the device. */
  lend(request: LendRequest): Promise<Loan>;
  prepare(memory: SharedMemory, manifest: Uint8Array): Promise<Handover>;
}

// Lends sealed CUDA memory to other processes over a Unix socket: the protocol vram-residency/share/1.
// This room holds the protocol. The addon handles sockets and descriptors, behind port.ts and native/.
import type { VramManager } from '../manager/index.js';
import { openAddonTransport } from './native/index.js';
import { ShareServer, type ShareServerOptions } from './server.js';

export type { LeaseState } from './lease.js';
export type { ShareLimitOptions } from './limits.js';
export { addonTransport, openAddonTransport } from './native/index.js';
export type {
  CloseReason,
  Handover,
  ListenOptions,
  Peer,
  SendResult,
  ShareConnection,
  ShareListener,
  ShareTransport,
} from './port.js';
export { ShareServer, type ShareServerOptions } from './server.js';
export type { LeaseView } from './session.js';

/**
 * Lends shards that were sealed with `share` to other processes on this host, which map their memory. Close the server
 * before its manager. Errors: INVALID_INPUT that names the option, DEVICE_UNAVAILABLE where the addon is missing.
 */
export async function openShareServer(
  manager: VramManager,
  options: ShareServerOptions,
): Promise<ShareServer> {
  return await ShareServer.open(manager, options, await openAddonTransport());
}

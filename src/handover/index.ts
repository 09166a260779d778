export type { ShareLimitOptions } from './limits.js';
export {
  type CloseReason,
  type Handover,
  type ListenOptions,
  MAX_LINE_BYTES,
  type Peer,
  type SendResult,
  type ShareConnection,
  type ShareListener,
  type ShareTransport,
} from './port.js';
export { ShareServer, type ShareServerOptions } from './server.js';
export type { LeaseView } from './session.js';

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

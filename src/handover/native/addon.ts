import type { Addon, DescriptorHandle } from '../../device/index.js';
import type { CloseReason } from '../port.js';

declare const sockets: unique symbol;
export interface SocketsHandle {
  readonly [sockets]: true;
}

/** The peer of an accepted connection, and the listener that accepted it. */
export interface NativePeer {
  readonly listener: number;
  /** 0 for a process in another PID namespace. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

/** Events of a connection, in order. Only clients receive descriptors, with a line. */
export type NativeEvent =
  | [kind: 'connected', connection: number, peer: NativePeer]
  | [kind: 'line', connection: number, line: Uint8Array, descriptors: readonly DescriptorHandle[]]
  | [kind: 'closed', connection: number, reason: CloseReason]
  | [kind: 'exited', connection: number];

/**
 * The part of native/ for Unix sockets that pass descriptors: mechanism without policy. It owns the sockets and every
 * descriptor; connections are numbered upwards. No call blocks on a peer.
 */
export interface SocketAddon {
  /** Starts the thread that watches the sockets. */
  openSockets(onEvent: (...event: NativeEvent) => void): SocketsHandle;
  /** Closes everything and stops all events. Safe to call twice. */
  closeSockets(sockets: SocketsHandle): void;
  /** Rejects with code PATH and a reason for callers, or with code SYSTEM. */
  listenAt(
    sockets: SocketsHandle,
    path: string,
    mode: number,
    group: number | null,
    maxLineBytes: number,
  ): Promise<number>;
  /** Closes the listener; its connections stay open. Safe to call twice. */
  closeListener(sockets: SocketsHandle, listener: number): void;
  /** Connects as a client, which accepts descriptors. Throws with code PATH or SYSTEM. */
  connectTo(sockets: SocketsHandle, path: string, maxLineBytes: number): number;
  /** The handles are empty afterwards, unless the result is `full`. */
  send(
    sockets: SocketsHandle,
    connection: number,
    line: Uint8Array,
    descriptors: readonly DescriptorHandle[],
  ): 'sent' | 'queued' | 'full';
  /** Drops what is queued. Safe to call twice. */
  closeConnection(sockets: SocketsHandle, connection: number): void;
  /** Requests the event `exited`. */
  watchPeer(sockets: SocketsHandle, connection: number): void;
  /** Closes the connection if it is open, and discards the record of its peer. */
  forgetConnection(sockets: SocketsHandle, connection: number): void;
  /** A sealed memfd with these bytes, at most 256 MiB. */
  sealBytes(bytes: Uint8Array): Promise<DescriptorHandle>;
  /** Rejects for a file that is not sealed against every change, and for one of more than `limit` bytes. */
  readSealedBytes(descriptor: DescriptorHandle, limit: number): Promise<Uint8Array>;
  /** Duplicates the descriptor. */
  shareDescriptor(descriptor: DescriptorHandle): DescriptorHandle;
  /** Safe to call twice. */
  closeDescriptor(descriptor: DescriptorHandle): void;
}

const FUNCTIONS = [
  'openSockets',
  'closeSockets',
  'listenAt',
  'closeListener',
  'connectTo',
  'send',
  'closeConnection',
  'watchPeer',
  'forgetConnection',
  'sealBytes',
  'readSealedBytes',
  'shareDescriptor',
  'closeDescriptor',
] as const satisfies readonly (keyof SocketAddon)[];

/** Addons of this version have both parts. */
export function hasSockets(addon: Addon): addon is Addon & SocketAddon {
  return FUNCTIONS.every((name) => typeof Reflect.get(addon, name) === 'function');
}

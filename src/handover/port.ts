import type { SharedMemory } from '../device/index.js';

/** Bytes of one line, its newline included (docs/sharing.md, "The protocol"). */
export const MAX_LINE_BYTES = 65_536;

/** The peer, as reported by the kernel. */
export interface Peer {
  /** Id of the process that connected; null for one in another PID namespace. */
  readonly pid: number | null;
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
}

/**
 * Why a connection is closed. `peer`: the other side closed it or died. The next three: the other side violated the
 * protocol, and the transport closed the connection. `failed`: the socket failed. `server`: close() was called here.
 */
export type CloseReason = 'peer' | 'line-too-long' | 'nul-byte' | 'descriptor' | 'failed' | 'server';

/**
 * Two descriptors for one client: the memory, and a sealed memfd with the manifest. send() consumes it when it returns
 * `sent` or `queued`, or when the connection is closed; after `full` the caller still owns it.
 */
export interface Handover {
  /** Closes both, unless send() has consumed them. Safe to call twice. */
  discard(): void;
}

/**
 * `sent`, or `queued`: it goes out, in order, as the peer reads. `full`: the peer does not read; nothing was accepted,
 * and the caller may retry. A closed connection accepts everything and drops it.
 */
export type SendResult = 'sent' | 'queued' | 'full';

/**
 * One accepted connection. Handlers are set before `onConnection` returns, and are never called from within send() or
 * close().
 */
export interface ShareConnection {
  readonly peer: Peer;
  /** Called with each line, without its newline. The handler owns the bytes. */
  onLine(handler: (line: Uint8Array) => void): void;
  /** Called once, last. */
  onClosed(handler: (reason: CloseReason) => void): void;
  /** `line` ends with its newline. */
  send(line: Uint8Array, handover?: Handover): SendResult;
  /** Drops the queue. Safe to call twice. */
  close(): void;
  /**
   * Resolves when the process that connected has ended, by its pidfd; never if its pid is null. Requested before the
   * handler of onClosed returns, it stays pending after that; requested later, it never resolves, so that a closed
   * connection costs nothing.
   */
  processExited(): Promise<void>;
}

export interface ListenOptions {
  /** Absolute. The socket gets `mode`, and `group` if given, before a client can connect. */
  readonly path: string;
  readonly mode: 0o600 | 0o660;
  /** A group id. */
  readonly group?: number | undefined;
  /** A user id whose directories are trusted beside this process's and root's. */
  readonly trustOwner?: number | undefined;
  readonly maxLineBytes: typeof MAX_LINE_BYTES;
  readonly onConnection: (connection: ShareConnection) => void;
}

export interface ShareListener {
  /** Accepts no new connections and removes the socket file. Connections stay open. Safe to call twice. */
  close(): Promise<void>;
}

/** Unix sockets that pass descriptors. */
export interface ShareTransport {
  /** Errors: INVALID_INPUT with what is wrong with the path, DEVICE_UNAVAILABLE if the addon is missing. */
  listen(options: ListenOptions): Promise<ShareListener>;
  /**
   * Exports the memory and puts the manifest into a memfd, which is kept for every later client that is given the same
   * array.
   * Errors: DEVICE_UNAVAILABLE where the driver refuses, DEVICE_LOST, NOT_FOUND where the memory was released.
   */
  prepare(memory: SharedMemory, manifest: Uint8Array): Promise<Handover>;
}

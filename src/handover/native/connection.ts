import type { CloseReason, Handover, Peer, SendResult, ShareConnection } from '../port.js';
import type { NativePeer, SocketAddon, SocketsHandle } from './addon.js';
import { descriptorsOf } from './handover.js';

/** The part of the transport that a connection uses. */
export interface ConnectionOwner {
  readonly addon: SocketAddon;
  readonly sockets: SocketsHandle;
  /**
   * Resolves when the process at the other end has ended, and keeps the connection's record until then. Called at most
   * once.
   */
  exited(connection: number): Promise<void>;
}

/** One accepted connection. The transport drops it once it is closed. */
export class NativeConnection implements ShareConnection {
  readonly peer: Peer;
  readonly #owner: ConnectionOwner;
  readonly #id: number;
  #onLine: (line: Uint8Array) => void = () => undefined;
  #onClosed: (reason: CloseReason) => void = () => undefined;
  #exited: Promise<void> | null = null;
  #closing = false;

  constructor(owner: ConnectionOwner, id: number, { pid, uid, gid, groups }: NativePeer) {
    this.#owner = owner;
    this.#id = id;
    this.peer = { pid: pid === 0 ? null : pid, uid, gid, groups };
  }

  onLine(handler: (line: Uint8Array) => void): void {
    this.#onLine = handler;
  }

  onClosed(handler: (reason: CloseReason) => void): void {
    this.#onClosed = handler;
  }

  send(line: Uint8Array, handover?: Handover): SendResult {
    const { addon, sockets } = this.#owner;
    return addon.send(sockets, this.#id, line, descriptorsOf(handover));
  }

  close(): void {
    this.#closing = true;
    this.#owner.addon.closeConnection(this.#owner.sockets, this.#id);
  }

  processExited(): Promise<void> {
    this.#exited ??= this.#owner.exited(this.#id);
    return this.#exited;
  }

  /** For the transport: a line has arrived. Lines in flight when close() was called are dropped. */
  deliver(line: Uint8Array): void {
    if (!this.#closing) this.#onLine(line);
  }

  /** For the transport: the connection is closed. */
  ended(reason: CloseReason): void {
    this.#closing = true;
    this.#onClosed(reason);
  }
}

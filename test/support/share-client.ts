import type { Addon, DescriptorHandle } from '../../src/device/index.js';
import {
  hasSockets,
  type NativeEvent,
  type SocketAddon,
  type SocketsHandle,
} from '../../src/handover/native/addon.js';
import type { CloseReason } from '../../src/handover/port.js';

export interface ReceivedLine {
  readonly line: string;
  readonly descriptors: readonly DescriptorHandle[];
}

/** Room for anything that a test sends. */
const MAX_LINE_BYTES = 2 ** 20;

export function socketAddon(addon: Addon): Addon & SocketAddon {
  if (!hasSockets(addon)) throw new Error('the addon has no sockets');
  return addon;
}

/** A client of a share server, over the addon: it takes descriptors. */
export class ShareClient {
  /** Why the connection ended. */
  readonly closed: Promise<CloseReason>;
  readonly #addon: SocketAddon;
  readonly #sockets: SocketsHandle;
  readonly #connection: number;
  readonly #lines: ReceivedLine[] = [];
  readonly #readers: ((line: ReceivedLine | null) => void)[] = [];
  #ended: CloseReason | null = null;
  #emitClosed: (reason: CloseReason) => void = () => undefined;

  constructor(addon: SocketAddon, path: string) {
    this.#addon = addon;
    this.closed = new Promise((resolve) => {
      this.#emitClosed = resolve;
    });
    this.#sockets = addon.openSockets((...event) => this.#on(event));
    this.#connection = addon.connectTo(this.#sockets, path, MAX_LINE_BYTES);
  }

  send(line: string | Uint8Array, descriptors: readonly DescriptorHandle[] = []): 'sent' | 'queued' | 'full' {
    const bytes = typeof line === 'string' ? new TextEncoder().encode(`${line}\n`) : line;
    return this.#addon.send(this.#sockets, this.#connection, bytes, descriptors);
  }

  /** The next line, or null once the connection is closed. */
  next(): Promise<ReceivedLine | null> {
    const line = this.#lines.shift();
    if (line !== undefined) return Promise.resolve(line);
    if (this.#ended !== null) return Promise.resolve(null);
    return new Promise((resolve) => {
      this.#readers.push(resolve);
    });
  }

  /** Also closes the descriptors of lines that nobody has read. */
  close(): void {
    this.#addon.closeSockets(this.#sockets);
    for (const { descriptors } of this.#lines.splice(0)) {
      for (const descriptor of descriptors) this.#addon.closeDescriptor(descriptor);
    }
  }

  #on(event: NativeEvent): void {
    const [kind, , value, descriptors] = event;
    if (kind === 'line') {
      const line = { line: new TextDecoder().decode(value), descriptors: descriptors ?? [] };
      const reader = this.#readers.shift();
      if (reader === undefined) this.#lines.push(line);
      else reader(line);
    } else if (kind === 'closed') {
      this.#ended = value;
      this.#emitClosed(value);
      for (const reader of this.#readers) reader(null);
    }
  }
}

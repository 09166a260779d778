import type { SharedMemory } from '../../../src/device/index.js';
import type {
  CloseReason,
  Handover,
  ListenOptions,
  Peer,
  SendResult,
  ShareConnection,
  ShareListener,
  ShareTransport,
} from '../../../src/handover/index.js';

/** A message of the server, as a client reads it. */
export type Said = { readonly type: string } & Readonly<Record<string, unknown>>;

/** Descriptors in memory: counted from prepare() until they are sent or discarded. */
class MemoryHandover implements Handover {
  #used = false;
  constructor(
    readonly memory: SharedMemory,
    readonly manifest: Uint8Array,
    private readonly count: (by: number) => void,
  ) {
    count(1);
  }

  use(): void {
    if (!this.#used) this.count(-1);
    this.#used = true;
  }

  discard(): void {
    this.use();
  }
}

/** The client's end of one connection. */
export class MemoryClient implements ShareConnection {
  readonly peer: Peer;
  /** Everything that the server said and this client has read. */
  readonly said: Said[] = [];
  readonly handed: { readonly memory: SharedMemory; readonly manifest: Uint8Array }[] = [];
  closed: CloseReason | null = null;
  /** Lines that fit before `full`: 0 for a client that does not read at all. */
  room = Number.POSITIVE_INFINITY;
  readonly #sawExit: (() => void)[] = [];
  #alive = true;
  #line: (line: Uint8Array) => void = () => undefined;
  #close: (reason: CloseReason) => void = () => undefined;

  constructor(peer: Partial<Peer> = {}) {
    this.peer = { pid: 4242, uid: process.geteuid?.() ?? 0, gid: 0, groups: [], ...peer };
  }

  onLine(handler: (line: Uint8Array) => void): void {
    this.#line = handler;
  }

  onClosed(handler: (reason: CloseReason) => void): void {
    this.#close = handler;
  }

  send(line: Uint8Array, handover?: Handover): SendResult {
    if (this.closed === null && this.room <= 0) return 'full';
    const used = handover as MemoryHandover | undefined;
    used?.use();
    if (this.closed !== null) return 'sent';
    this.room -= 1;
    if (line.length > 65_536 || line.at(-1) !== 0x0a) throw new Error('the server sent no line');
    this.said.push(JSON.parse(new TextDecoder().decode(line)));
    if (used !== undefined) this.handed.push(used);
    return 'sent';
  }

  close(): void {
    this.#closeAs('server');
  }

  async processExited(): Promise<void> {
    if (!this.#alive || this.peer.pid === null) return await new Promise(() => undefined);
    await new Promise<void>((resolve) => this.#sawExit.push(resolve));
  }

  /** Says a message, or any bytes. */
  async say(message: object | string | Uint8Array): Promise<void> {
    const text = typeof message === 'string' ? message : JSON.stringify(message);
    if (this.closed === null)
      this.#line(message instanceof Uint8Array ? message : new TextEncoder().encode(text));
    await settle();
  }

  /** The transport closes the connection, for what this side did. */
  async drop(reason: CloseReason = 'peer'): Promise<void> {
    this.#closeAs(reason);
    await settle();
  }

  /** As kill -9. */
  async die(): Promise<void> {
    this.#alive = false;
    this.#closeAs('peer');
    for (const saw of this.#sawExit.splice(0)) saw();
    await settle();
  }

  types(): string[] {
    return this.said.map(({ type }) => type);
  }

  last(type: string): Said | undefined {
    return this.said.findLast((one) => one.type === type);
  }

  #closeAs(reason: CloseReason): void {
    if (this.closed !== null) return;
    this.closed = reason;
    queueMicrotask(() => this.#close(reason));
  }
}

/** Sockets in memory. */
export class MemoryTransport implements ShareTransport {
  options: ListenOptions | null = null;
  listening = false;
  /** Descriptors that are open here. */
  open = 0;
  /** What prepare() fails with. */
  refuse: Error | null = null;
  /** Waited for in prepare(). */
  prepared: Promise<void> = Promise.resolve();

  async listen(options: ListenOptions): Promise<ShareListener> {
    this.options = options;
    this.listening = true;
    return {
      close: async () => {
        this.listening = false;
      },
    };
  }

  async prepare(memory: SharedMemory, manifest: Uint8Array): Promise<Handover> {
    await this.prepared;
    if (this.refuse !== null) throw this.refuse;
    return new MemoryHandover(memory, manifest, (by) => {
      this.open += by;
    });
  }

  async connect(peer: Partial<Peer> = {}): Promise<MemoryClient> {
    const client = new MemoryClient(peer);
    this.options?.onConnection(client);
    await settle();
    return client;
  }
}

/** Lets promises that are due be carried out, those of the device included. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

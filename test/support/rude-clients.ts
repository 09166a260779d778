import { readdir } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { ask } from './worker-http.js';

/** Clients that do what no honest one does, to a server on a Unix socket. */
export class RudeClients implements AsyncDisposable {
  readonly #socket: string;
  readonly #open = new Set<Socket>();
  readonly #received = new Map<Socket, string>();
  readonly #timers = new Set<NodeJS.Timeout>();
  /** Connections that were made, or refused before they were. */
  #tried = 0;

  constructor(socket: string) {
    this.#socket = socket;
  }

  /** That the server has not ended yet. */
  get connected(): number {
    return this.#open.size;
  }

  /** A connection that sends `text` and, from then on, `drip` every few milliseconds. It reads until it is paused. */
  async connect(text: string, drip?: string): Promise<Socket> {
    this.#tried += 1;
    const socket = connect({ path: this.#socket });
    this.#open.add(socket);
    socket.on('error', () => undefined);
    socket.setEncoding('utf8').on('data', (piece: string) => {
      this.#received.set(socket, this.receivedOn(socket) + piece);
    });
    const closed = closeOf(socket).then(() => this.#open.delete(socket));
    await Promise.race([new Promise((resolve) => socket.once('connect', resolve)), closed]);
    if (text !== '') socket.write(text);
    if (drip !== undefined) {
      const timer = setInterval(() => socket.write(drip), 20);
      this.#timers.add(timer);
      void closed.then(() => clearInterval(timer));
    }
    return socket;
  }

  receivedOn(socket: Socket): string {
    return this.#received.get(socket) ?? '';
  }

  /** What a connection got until it was ended. */
  async answerOn(socket: Socket): Promise<string> {
    if (!socket.closed) await closeOf(socket);
    return this.receivedOn(socket);
  }

  /** So many of them, some at a time. */
  async crowd(count: number, text = '', drip?: string): Promise<Socket[]> {
    const all: Socket[] = [];
    while (all.length < count) {
      const some = Array.from({ length: Math.min(100, count - all.length) }, () => this.connect(text, drip));
      all.push(...(await Promise.all(some)));
    }
    return all;
  }

  /** Resolves once the server has ended all but `left` of the connections. Errors: after `ms` it has not. */
  async untilEnded(left = 0, ms = 20_000): Promise<void> {
    const end = performance.now() + ms;
    while (this.#open.size > left) {
      if (performance.now() > end)
        throw new Error(`${this.#open.size} of ${this.#tried} connections are open still`);
      await pause(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    for (const socket of this.#open) socket.destroy();
    await this.untilEnded();
  }
}

/** Open file descriptors of a process. */
export async function descriptorsOf(pid: number | 'self' = 'self'): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
}

/** Waits until a process has no more descriptors than before. Errors: after `ms` it has. */
export async function untilFlat(before: number, pid: number | 'self' = 'self', ms = 20_000): Promise<void> {
  const end = performance.now() + ms;
  for (;;) {
    const now = await descriptorsOf(pid);
    if (now <= before) return;
    if (performance.now() > end) throw new Error(`${now} descriptors are open, ${before} were`);
    await pause(20);
  }
}

/** Errors: nobody answers. */
export async function requireAlive(socket: string): Promise<void> {
  const { status } = await ask(socket, 'GET', '/livez');
  if (status !== 204) throw new Error(`the server says ${status}`);
}

/** Also after an error: unlike once() of node:events it never rejects. */
function closeOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

function pause(ms: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, ms));
}

import type { DigestEngine, DigestStream } from '../digest/index.js';

/** How long a page's thread may hash before it lets others run: a frame at 60 Hz takes 16.7 ms. */
const TURN_MS = 12;
/** What is hashed without a look at the clock: some milliseconds, also where hash-wasm does it. */
const PIECE_BYTES = 262_144;

/** A digest engine that hashes in the calling thread, and lets the thread's other tasks run in between. */
export function takingTurns(engine: DigestEngine): DigestEngine {
  const turns = new Turns();
  return {
    name: engine.name,
    start: (request) => streamTakingTurns(engine.start(request), turns),
    leaves: async (bytes) => turns.after(await engine.leaves(bytes)),
    nodes: async (hashes) => turns.after(await engine.nodes(hashes)),
    sha256: (bytes) => engine.sha256(bytes),
    close: () => engine.close(),
  };
}

function streamTakingTurns(stream: DigestStream, turns: Turns): DigestStream {
  return {
    async update(chunk) {
      // A chunk without a byte has its checks too.
      for (let at = 0; at === 0 || at < chunk.length; at += PIECE_BYTES) {
        await stream.update(chunk.subarray(at, at + PIECE_BYTES));
        await turns.after(null);
      }
    },
    finish: () => stream.finish(),
    abort: () => stream.abort(),
  };
}

class Turns {
  #began = Number.NEGATIVE_INFINITY;

  /** Gives the value once other tasks have had their turn, if it is their turn. */
  async after<T>(value: T): Promise<T> {
    if (performance.now() - this.#began < TURN_MS) return value;
    await new Promise<void>((resolve) => {
      // Nested timers wait 4 ms; a message does not.
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(null);
    });
    this.#began = performance.now();
    return value;
  }
}

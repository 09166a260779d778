import { invalidInput, Serial } from '../../base/index.js';
import { createFlatHash, createPortableEngine, type FlatHash } from '../../digest/index.js';
import type { DigestAnswer, DigestFailure, DigestRequestMessage, DigestTask } from './messages.js';

/** What a dedicated worker's global object and a MessagePort have in common. */
export interface DigestPort {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void;
}

const NOTHING = new Uint8Array(0);

/**
 * Makes this worker hash for digestWorkers() of the page that started it: the whole script of a digest worker. Hashes
 * with the module of four SIMD lanes, or with hash-wasm where the browser has no WebAssembly SIMD.
 * Errors: INVALID_INPUT where it is called outside a dedicated worker.
 */
export function serveDigests(port: DigestPort = workerScope()): void {
  const engine = createPortableEngine();
  const flats = new Map<number, Promise<FlatHash>>();
  const tasks = new Serial();

  const hash = async (task: DigestTask): Promise<Omit<DigestAnswer, 'id' | 'buffer'>> => {
    if (task.kind === 'tree') {
      const leaves = await engine.leaves(task.bytes);
      return { leaves, nodes: await engine.nodes(leaves), flat: NOTHING };
    }
    const { stream, bytes, last } = task;
    const opened = flats.get(stream) ?? createFlatHash();
    if (last) flats.delete(stream);
    else flats.set(stream, opened);
    const flat = await opened;
    flat.update(bytes);
    return { leaves: NOTHING, nodes: NOTHING, flat: last ? flat.digest() : NOTHING };
  };

  const answer = async ({ id, ...task }: { readonly id: number } & DigestTask): Promise<void> => {
    try {
      const reply: DigestAnswer = { id, ...(await hash(task)), buffer: task.bytes.buffer };
      port.postMessage(reply, [reply.buffer]);
    } catch (error) {
      const failure = error instanceof Error ? error.message : 'unknown failure';
      port.postMessage({ id, failure } satisfies DigestFailure, []);
    }
  };

  port.addEventListener('message', ({ data }) => {
    // The page that started this worker is the only one that can send to it.
    const message = data as DigestRequestMessage;
    void tasks.run(async () => {
      if (message.kind === 'drop') flats.delete(message.stream);
      else await answer(message);
    });
  });
}

function workerScope(): DigestPort {
  const scope: unknown = globalThis;
  if (isPort(scope) && !('document' in scope)) return scope;
  throw invalidInput('port', 'is missing: serveDigests() is for the script of a dedicated worker');
}

function isPort(scope: unknown): scope is DigestPort {
  return typeof scope === 'object' && scope !== null && 'postMessage' in scope && 'addEventListener' in scope;
}

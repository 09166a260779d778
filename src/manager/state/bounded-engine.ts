import { type Ending, type ForeignCalls, invalidInput } from '../../base/index.js';
import type { DigestEngine, DigestStream } from '../../digest/index.js';

/** How long a caller's engine may keep an operation waiting. */
export interface EngineLimits {
  readonly calls: ForeignCalls;
  /** Milliseconds for one call. */
  readonly limitMs: number;
  /** Ends when the device is lost or the manager closed. */
  readonly ended: Ending;
}

/** A caller's engine with a time limit. Errors besides its own: INVALID_INPUT at the limit, and those of the ending. */
export function boundedEngine(engine: DigestEngine, { calls, limitMs, ended }: EngineLimits): DigestEngine {
  const stalled = () => invalidInput('engine', `has not answered for ${limitMs} ms`);
  const run = <T>(call: () => PromiseLike<T>): Promise<T> =>
    calls.run(call, { limitMs, stalled, ends: [ended] });
  const bounded: DigestEngine = {
    name: engine.name,
    start: (request) => boundedStream(engine.start(request), run),
    leaves: (bytes) => run(() => engine.leaves(bytes)),
    nodes: (hashes) => run(() => engine.nodes(hashes)),
    sha256: (bytes) => run(() => engine.sha256(bytes)),
    close: () => run(() => engine.close()),
  };
  return bounded;
}

function boundedStream(
  stream: DigestStream,
  run: <T>(call: () => PromiseLike<T>) => Promise<T>,
): DigestStream {
  return {
    update: (chunk) => run(() => stream.update(chunk)),
    finish: () => run(() => stream.finish()),
    abort: () => stream.abort(),
  };
}

// The page's module worker: device, seals, engine and log are here, so they never block the page.
import type { Request, Response } from './protocol.js';

// The library is loaded while the visitor looks at the page.
const calls = import('./runtime/calls.js');

async function answer({ id, method, args }: Request): Promise<Response> {
  const { runtime, failureOf } = await calls;
  try {
    // The page is the only sender, and its calls are typed by the same interface.
    const call = runtime[method] as (...given: readonly unknown[]) => Promise<unknown>;
    return { id, answer: await call(...args) };
  } catch (error) {
    return { id, failure: failureOf(error) };
  }
}

// One call after the other.
let turn: Promise<void> = Promise.resolve();
addEventListener('message', ({ data }: MessageEvent<Request>) => {
  turn = turn.then(async () => postMessage(await answer(data)));
});

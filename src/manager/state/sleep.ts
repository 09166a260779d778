import { systemTimer } from '../../base/index.js';

/** Waits, or returns early when the signal fires. Keeps no process alive. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted || ms <= 0) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      callOff();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const callOff = systemTimer(ms, done);
    signal.addEventListener('abort', done, { once: true });
  });
}

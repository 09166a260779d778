/** Calls `fire` once after so many milliseconds. Returns a function that cancels it. */
export type Timer = (ms: number, fire: () => void) => () => void;

/** Longer timers fire at once (HTML standard, "Timers"; Node likewise). */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/** The platform's timers. They keep no process alive. */
export const systemTimer: Timer = (ms, fire) => {
  const timer = setTimeout(fire, ms);
  letProcessEnd(timer);
  return () => clearTimeout(timer);
};

/** Node's timers are objects that hold the process open; a page's are numbers. */
function letProcessEnd(timer: unknown): void {
  if (typeof timer !== 'object' || timer === null || !('unref' in timer)) return;
  if (typeof timer.unref === 'function') timer.unref();
}

/**
 * Runs `work` while this page holds a lock of its origin. `work` gets false, and runs regardless, where another tab has
 * the lock or the platform has none: waiting for a tab that may be suspended could take forever.
 */
export async function withLock<T>(
  name: string,
  mode: LockMode,
  work: (held: boolean) => Promise<T>,
): Promise<T> {
  // Missing outside secure contexts, despite the types.
  const locks: LockManager | undefined = globalThis.navigator?.locks;
  if (locks === undefined) return work(false);
  return await locks.request(name, { mode, ifAvailable: true }, (lock) => work(lock !== null));
}

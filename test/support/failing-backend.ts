import { hostBackend } from '../../src/device/host/index.js';
import type { Backend } from '../../src/device/types.js';

/** A backend whose device cannot be opened, or is refused what it requests. */
export function failingBackend(error: Error): Backend {
  const host = hostBackend();
  return {
    ...host,
    kind: 'host',
    list: () => host.list(),
    problem: () => host.problem(),
    open: () => Promise.reject(error),
  };
}

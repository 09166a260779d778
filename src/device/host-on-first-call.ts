import { VramError } from '../base/index.js';
import type { HostOptions } from './host/index.js';
import type { Backend } from './types.js';

/**
 * The host backend for pages, which download its code on first use: a page that asks for WebGPU or brings a device never
 * needs it. `auto` does, because it lists every backend.
 */
export function hostBackendOnFirstCall(options: HostOptions): Backend {
  let loading: Promise<Backend> | undefined;
  const loaded = (): Promise<Backend> => {
    loading ??= load(options);
    return loading;
  };
  return {
    kind: 'host',
    list: async () => (await loaded()).list(),
    problem: async () => (await loaded()).problem(),
    open: async (index, openOptions) => (await loaded()).open(index, openOptions),
  };
}

/** Errors: INVALID_INPUT, as hostBackend() does; DEVICE_UNAVAILABLE if the code cannot be downloaded. */
async function load(options: HostOptions): Promise<Backend> {
  const host = await import('./host/index.js').catch((cause: unknown) => {
    // Browsers do not download a module again in the same page.
    throw new VramError(
      'DEVICE_UNAVAILABLE',
      'the code of the host device could not be loaded: reload the page',
      { cause },
    );
  });
  return host.hostBackend(options);
}

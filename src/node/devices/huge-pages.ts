import { hasFunctions, optionalAddon } from '../addon/index.js';

/** Below this, a few huge pages of 2 MiB, ordinary page faults are fast enough. */
const LEAST_BYTES = 8 * 1024 * 1024;

interface PagesAddon {
  adviseHugePages(bytes: Uint8Array): boolean;
}

let loaded: PagesAddon | null | undefined;

/**
 * Requests huge pages from Linux for large fresh memory: faulting in pages of 4096 bytes takes longer than everything
 * done with the bytes afterwards. Without the addon, or without huge pages in the system, nothing changes.
 */
export function adviseHugePages(memory: Uint8Array): void {
  if (memory.length < LEAST_BYTES) return;
  loaded ??= loadPagesAddon();
  loaded?.adviseHugePages(memory);
}

function loadPagesAddon(): PagesAddon | null {
  const addon = optionalAddon();
  return isPagesAddon(addon) ? addon : null;
}

function isPagesAddon(value: unknown): value is PagesAddon {
  return hasFunctions(value, ['adviseHugePages'] satisfies (keyof PagesAddon)[]);
}

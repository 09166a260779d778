import { hasFunctions, optionalAddon } from '../addon/index.js';

/** Below this the system finds pages soon enough: a few huge pages of 2 MiB. */
const LEAST_BYTES = 8 * 1024 * 1024;

interface PagesAddon {
  adviseHugePages(bytes: Uint8Array): boolean;
}

let loaded: PagesAddon | null | undefined;

/**
 * Asks Linux to back large fresh memory with huge pages: with pages of 4096 bytes, finding one for each takes longer than
 * all that is done with the bytes afterwards. Where there is no addon, or the system has none to give, nothing changes.
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

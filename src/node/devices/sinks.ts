import type { NativeSinks } from '../../device/index.js';
import type { NativeSink } from '../../digest/index.js';
import { hasFunctions, optionalAddon } from '../addon/index.js';

interface SinkAddon {
  openSink(pieces: readonly Uint8Array[]): NativeSink;
  closeSink(sink: NativeSink): void;
}

/** The addon's sinks over JavaScript's memory; undefined if there is no matching addon. */
export function nativeSinks(): NativeSinks | undefined {
  const addon = optionalAddon();
  if (!isSinkAddon(addon)) return undefined;
  return {
    open: (pieces) => addon.openSink(pieces),
    close: (sink) => addon.closeSink(sink),
  };
}

function isSinkAddon(value: unknown): value is SinkAddon {
  return hasFunctions(value, ['openSink', 'closeSink'] satisfies (keyof SinkAddon)[]);
}

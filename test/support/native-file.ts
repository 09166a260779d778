import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findNativeHasher } from '../../src/node/digest/native-hasher.js';
import type { NativeFile } from '../contract/context.js';

/** Makes files that the addon's threads read to sinks; undefined without an addon whose hasher runs here. */
export const nativeFile: ((bytes: Uint8Array) => Promise<NativeFile>) | undefined = maker();

function maker(): ((bytes: Uint8Array) => Promise<NativeFile>) | undefined {
  const native = findNativeHasher();
  if (native === null) return undefined;
  return async (bytes) => {
    const folder = await mkdtemp(join(tmpdir(), 'native-file-'));
    const path = join(folder, 'bytes');
    await writeFile(path, bytes);
    const handle = await open(path);
    return {
      read: async (sink, offset, length) => {
        const present = await native.readFile(handle.fd, offset, length, sink);
        if (present !== length) throw new Error(`${present} of ${length} bytes at ${offset}`);
      },
      close: async () => {
        await handle.close();
        await rm(folder, { recursive: true });
      },
    };
  };
}

import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { VramError } from '../../../base/index.js';
import type { Kernels } from '../../../device/index.js';

/** The addon's limit. */
const MAX_BYTES = 64 * 1024 * 1024;
/** 0xba55ed50, little-endian. */
const FATBIN_MAGIC = [0x50, 0xed, 0x55, 0xba];

/**
 * The kernels in a fat binary, as `npm run build:cuda -- --machine-code` makes it. `origin` is the option or variable
 * that named the file: messages contain it instead of the path. The sizes inside are checked by the addon. Errors:
 * DEVICE_UNAVAILABLE.
 */
export async function kernelsFromFile(path: string, origin: string): Promise<Kernels> {
  let image: Uint8Array;
  try {
    // O_NONBLOCK: opening a pipe must not block.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      image = await readWhole(file, origin);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof VramError) throw error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'an unknown error';
    throw refusal(origin, `could not be read (${code})`);
  }
  if (!FATBIN_MAGIC.every((byte, at) => image[at] === byte)) {
    throw refusal(
      origin,
      'is not a CUDA fat binary; npm run build:cuda -- --machine-code makes one, and without it the PTX that ships is used',
    );
  }
  return { image, origin, replaced: true };
}

async function readWhole(file: FileHandle, origin: string): Promise<Uint8Array> {
  const stat = await file.stat();
  if (!stat.isFile()) throw refusal(origin, 'is not a regular file');
  if (stat.size > MAX_BYTES) throw refusal(origin, `has ${stat.size} bytes; at most ${MAX_BYTES} are taken`);
  const bytes = new Uint8Array(stat.size);
  for (let at = 0; at < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, at, bytes.length - at, at);
    if (bytesRead === 0) throw refusal(origin, 'became shorter while it was read');
    at += bytesRead;
  }
  return bytes;
}

function refusal(origin: string, what: string): VramError {
  return new VramError('DEVICE_UNAVAILABLE', `the file that ${origin} names ${what}`);
}

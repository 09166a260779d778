import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

/** Size of the header of a 64-bit ELF file, in bytes. */
const HEADER_BYTES = 64;
const ELF_MAGIC = 0x7f454c46;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
/** Node's names for ELF machine numbers. */
const ARCHITECTURES: ReadonlyMap<number, string> = new Map([
  [62, 'x64'],
  [183, 'arm64'],
]);

/**
 * Why a file cannot be the addon of a Node for `arch`; null if its header allows it. Checked before the system's loader
 * runs: it crashes on a truncated file (SIGBUS) and reports a file for another processor as missing. Throws what node:fs
 * throws.
 */
export function unfitHeader(path: string, arch: string): string | null {
  // Without O_NONBLOCK, which Windows does not have, a named pipe would hang here.
  const file = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    if (!fstatSync(file).isFile()) return 'is not a regular file';
    const bytes = new Uint8Array(HEADER_BYTES);
    const read = readSync(file, bytes, 0, HEADER_BYTES, 0);
    const header = new DataView(bytes.buffer);
    if (read < HEADER_BYTES || header.getUint32(0) !== ELF_MAGIC) return 'is not a Linux library';
    if (bytes[4] !== CLASS_64 || bytes[5] !== LITTLE_ENDIAN) return builtFor('another processor', arch);
    const machine = header.getUint16(18, true);
    const built = ARCHITECTURES.get(machine);
    if (built !== undefined && built !== arch) return builtFor(built, arch);
    // Linkers put the section table last, and strip keeps it there, so its end is the end of the file.
    const end =
      Number(header.getBigUint64(40, true)) + header.getUint16(58, true) * header.getUint16(60, true);
    return fstatSync(file).size < end ? 'is cut off' : null;
  } finally {
    closeSync(file);
  }
}

function builtFor(built: string, arch: string): string {
  return `is built for ${built}, and this Node is for ${arch}`;
}

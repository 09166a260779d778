// The requirements of a shared library, read from its dynamic section: the libraries it names and the symbol versions it
// needs from them. Only 64-bit little-endian ELF, which x86-64 and AArch64 use. Layout: the ELF
// specification and, for versions, the Linux Standard Base, "Symbol Versioning".

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_VERNEED = 0x6ffffffe;
const DT_VERNEEDNUM = 0x6fffffff;

/**
 * @param {Uint8Array} bytes a whole file
 * @returns {{needed: string[], versions: {library: string, version: string}[]}} in the file's order
 * @throws Error if the file is not such a library, or is truncated
 */
export function readRequirements(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 64 || view.getUint32(0) !== 0x7f454c46 || bytes[4] !== 2 || bytes[5] !== 1) {
    throw new Error('not a 64-bit little-endian ELF file');
  }
  try {
    return read(bytes, view);
  } catch (cause) {
    if (cause instanceof RangeError) throw new Error('the ELF file is cut off or damaged', { cause });
    throw cause;
  }
}

function read(bytes, view) {
  const u16 = (offset) => view.getUint16(offset, true);
  const u32 = (offset) => view.getUint32(offset, true);
  const u64 = (offset) => Number(view.getBigUint64(offset, true));

  const [programHeaders, entrySize, count] = [u64(32), u16(54), u16(56)];
  const segments = Array.from({ length: count }, (_, i) => {
    const at = programHeaders + i * entrySize;
    return { type: u32(at), offset: u64(at + 8), address: u64(at + 16), size: u64(at + 32) };
  });
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) throw new Error('the ELF file has no dynamic section');

  /** The offset in the file of what the loader maps at an address. */
  const inFile = (address) => {
    const home = segments.find(
      (segment) =>
        segment.type === PT_LOAD && address >= segment.address && address - segment.address < segment.size,
    );
    if (home === undefined) throw new RangeError(`address ${address} lies in no segment`);
    return address - home.address + home.offset;
  };

  const entries = [];
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.size && u64(at) !== 0; at += 16) {
    entries.push({ tag: u64(at), value: u64(at + 8) });
  }
  const entryOf = (tag) => entries.find((entry) => entry.tag === tag)?.value;

  const stringTable = entryOf(DT_STRTAB);
  if (stringTable === undefined) throw new Error('the ELF file has no table of strings');
  const strings = inFile(stringTable);
  const stringAt = (offset) => {
    const end = bytes.indexOf(0, strings + offset);
    if (end < 0) throw new RangeError('a string has no end');
    return new TextDecoder().decode(bytes.subarray(strings + offset, end));
  };

  const versions = [];
  const firstNeed = entryOf(DT_VERNEED);
  let need = firstNeed === undefined ? 0 : inFile(firstNeed);
  for (let i = 0; i < (entryOf(DT_VERNEEDNUM) ?? 0); i++) {
    const library = stringAt(u32(need + 4));
    let version = need + u32(need + 8);
    for (let left = u16(need + 2); left > 0; left--) {
      versions.push({ library, version: stringAt(u32(version + 8)) });
      version += u32(version + 12);
    }
    need += u32(need + 12);
  }
  const needed = entries.filter(({ tag }) => tag === DT_NEEDED).map(({ value }) => stringAt(value));
  return { needed, versions };
}

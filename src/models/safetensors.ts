import { ByteCursor } from './byte-cursor.js';
import { JsonScanner } from './json-scanner.js';
import type { RandomAccess } from './random-access.js';
import { quoted, type Refuse, refusalOf, tensorCalled } from './refusal.js';
import {
  bytesOfElements,
  elementCount,
  TENSOR_LIMITS,
  type TensorEntry,
  type TensorIndex,
  TensorIndexBuilder,
} from './tensors.js';
import { checkUtf8 } from './utf8.js';

const LENGTH_BYTES = 8;
/** The format's own limit. */
const MAX_SAFETENSORS_HEADER_BYTES = 100_000_000;
const MAX_METADATA_ENTRIES = 65_536;

/** Bits of one element, by the safetensors format's names. */
const DTYPE_BITS: ReadonlyMap<string, number> = new Map([
  ['F4', 4],
  ['F6_E2M3', 6],
  ['F6_E3M2', 6],
  ['BOOL', 8],
  ['U8', 8],
  ['I8', 8],
  ['F8_E5M2', 8],
  ['F8_E4M3', 8],
  ['F8_E8M0', 8],
  ['F8_E5M2FNUZ', 8],
  ['F8_E4M3FNUZ', 8],
  ['I16', 16],
  ['U16', 16],
  ['F16', 16],
  ['BF16', 16],
  ['I32', 32],
  ['U32', 32],
  ['F32', 32],
  ['I64', 64],
  ['U64', 64],
  ['F64', 64],
  ['C64', 64],
]);

/**
 * The tensors of one safetensors file, in the order of their bytes. Reads only the header; refuses everything that the
 * format's specification forbids, also duplicate keys in the header.
 *
 * Errors: INVALID_INPUT, naming `what`.
 */
export async function readSafetensors(access: RandomAccess, what = 'file'): Promise<TensorIndex> {
  const refuse = refusalOf(what);
  const header = await readHeader(access, refuse);
  const dataStart = LENGTH_BYTES + header.length;
  if (header[0] !== 0x7b) throw refuse('has a header that does not start with {');
  checkUtf8(header, 'a header', refuse);

  const scanner = new JsonScanner(header, refuse);
  const tensors = new TensorIndexBuilder(refuse);
  let metadata = false;
  scanner.object(TENSOR_LIMITS.nameBytes, (key) => {
    if (key !== '__metadata__') {
      tensors.add(readTensor(scanner, key, dataStart, refuse));
      return;
    }
    if (metadata) throw refuse('has __metadata__ twice');
    metadata = true;
    readMetadata(scanner, refuse);
  });
  scanner.end('spaces');

  const entries = tensors.finish();
  checkContiguous(entries, dataStart, access.byteLength, refuse);
  return entries;
}

async function readHeader(access: RandomAccess, refuse: Refuse): Promise<Uint8Array> {
  if (access.byteLength < LENGTH_BYTES)
    throw refuse('is too short for a safetensors file: fewer than 8 bytes');
  const cursor = new ByteCursor(access, 0, refuse, LENGTH_BYTES);
  await cursor.fill(LENGTH_BYTES);
  const length = cursor.u64('a header length');
  if (length > MAX_SAFETENSORS_HEADER_BYTES) {
    throw refuse(`has a header of more than ${MAX_SAFETENSORS_HEADER_BYTES} bytes`);
  }
  if (length === 0) throw refuse('has an empty header');
  if (length > access.byteLength - LENGTH_BYTES) throw refuse('has a header that ends after the file');
  return await access.read(LENGTH_BYTES, length);
}

function readTensor(scanner: JsonScanner, name: string, dataStart: number, refuse: Refuse): TensorEntry {
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  const once = (field: unknown, key: string): void => {
    if (field !== undefined) throw refuse(`has ${key} twice in ${tensorCalled(name)}`);
  };
  scanner.object(TENSOR_LIMITS.nameBytes, (key) => {
    switch (key) {
      case 'dtype':
        once(dtype, key);
        dtype = scanner.string(TENSOR_LIMITS.nameBytes);
        break;
      case 'shape':
        once(shape, key);
        shape = readIntegers(scanner, TENSOR_LIMITS.rank, () =>
          refuse(`has ${tensorCalled(name)} with more than ${TENSOR_LIMITS.rank} dimensions`),
        );
        break;
      case 'data_offsets':
        once(offsets, key);
        offsets = readIntegers(scanner, 2, () =>
          refuse(`has ${tensorCalled(name)} with more than two data_offsets`),
        );
        break;
      default:
        throw refuse(`has an unknown field in ${tensorCalled(name)}`);
    }
  });
  if (dtype === undefined || shape === undefined || offsets === undefined) {
    throw refuse(`has ${tensorCalled(name)} without dtype, shape or data_offsets`);
  }
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined) {
    throw refuse(`has ${tensorCalled(name)} with fewer than two data_offsets`);
  }
  const bits = DTYPE_BITS.get(dtype);
  if (bits === undefined) throw refuse(`has ${tensorCalled(name)} of an unknown dtype`);
  if (end < begin) throw refuse(`has ${tensorCalled(name)} that ends before it begins`);
  const byteLength = bytesOfElements(elementCount(shape, name, refuse), bits, name, refuse);
  if (byteLength !== end - begin) {
    throw refuse(
      `has ${tensorCalled(name)} whose shape and dtype need ${byteLength} bytes, not ${end - begin}`,
    );
  }
  return { name, dtype, shape, byteOffset: dataStart + begin, byteLength, encoding: 'raw' };
}

function readIntegers(scanner: JsonScanner, limit: number, tooMany: () => Error): number[] {
  const values: number[] = [];
  scanner.array(() => {
    if (values.length >= limit) throw tooMany();
    values.push(scanner.integer());
  });
  // Copied to its exact length, because a grown list keeps spare room and there are many.
  return values.slice();
}

function readMetadata(scanner: JsonScanner, refuse: Refuse): void {
  const keys = new Set<string>();
  scanner.object(TENSOR_LIMITS.nameBytes, (key) => {
    if (keys.has(key)) throw refuse(`has ${quoted(key)} twice in __metadata__`);
    if (keys.size >= MAX_METADATA_ENTRIES)
      throw refuse(`has more than ${MAX_METADATA_ENTRIES} entries in __metadata__`);
    keys.add(key);
    scanner.skipString();
  });
}

/** `entries` in the order of their bytes: each begins where the one before ends, the last ends with the file. */
function checkContiguous(entries: TensorIndex, dataStart: number, fileEnd: number, refuse: Refuse): void {
  let end = dataStart;
  for (const { name, byteOffset, byteLength } of entries) {
    if (byteOffset + byteLength > fileEnd) throw refuse(`has ${tensorCalled(name)} that ends after the file`);
    if (byteOffset < end) throw refuse(`has ${tensorCalled(name)} over the bytes of another`);
    if (byteOffset > end)
      throw refuse(`has a hole of ${byteOffset - end} bytes before ${tensorCalled(name)}`);
    end = byteOffset + byteLength;
  }
  if (end !== fileEnd) throw refuse(`has ${fileEnd - end} bytes after its last tensor`);
}

import { invalidInput, isVramError, toHex, VramError } from '../base/index.js';
import { type ExpectedDigest, type ExpectedDigests, manifestBytes } from '../models/index.js';
import { loadExpected, nodeCrypto } from '../node/index.js';
import { type CheckItem, type CheckTarget, isTarget } from './check-target.js';

/** The value of `--expect`. Errors: INVALID_INPUT, which names the option even where the option names a file. */
export async function expectedDigests(value: string): Promise<ExpectedDigests> {
  try {
    return await loadExpected(value);
  } catch (error) {
    if (!isVramError(error, 'INVALID_INPUT') || error.argument !== 'path') throw error;
    throw invalidInput(
      'expected',
      error.message.replace('"path" ', 'is not a digest, and as a file '),
      error,
    );
  }
}

/**
 * Each target with its expected digest; a target whose files differ in size from the list is refused before it is read.
 * Errors: INVALID_INPUT if the list does not name all files, or is of another model.
 */
export async function withExpected(
  items: readonly CheckItem[],
  expected: ExpectedDigests,
  hashing: 'host' | 'device',
): Promise<CheckItem[]> {
  const targets = items.filter(isTarget);
  // One digest is of one shard: the file, or the packed tensors.
  const filesOf = ({ file, byteLength, files }: CheckTarget): CheckTarget['files'] =>
    expected.kind === 'digest' ? [{ name: file, byteLength }] : files;
  const digests = expected.forAll(targets.flatMap(filesOf).map(({ name }) => name));
  const result: CheckItem[] = [];
  let next = 0;
  for (const item of items) {
    if (!isTarget(item)) {
      result.push(item);
      continue;
    }
    const files = filesOf(item);
    const own = digests.slice(next, next + files.length);
    next += files.length;
    const error = sizeMismatch(item.file, files, own);
    result.push(
      error === null
        ? { ...item, expected: await expectationOf(item, own, expected, hashing) }
        : { file: item.file, error },
    );
  }
  return result;
}

/** SOURCE_MISMATCH for the first file that is not as long as expected; null if none. */
function sizeMismatch(
  target: string,
  files: CheckTarget['files'],
  expected: readonly ExpectedDigest[],
): VramError | null {
  for (const [index, { name, byteLength }] of files.entries()) {
    const length = expected[index]?.byteLength ?? byteLength;
    if (length !== byteLength) {
      return new VramError(
        'SOURCE_MISMATCH',
        `${name === target ? 'the file' : JSON.stringify(name)} has ${byteLength} bytes, expected ${length} bytes; ` +
          `nothing was sealed`,
      );
    }
  }
  return null;
}

async function expectationOf(
  { byteLength, manifest }: CheckTarget,
  own: readonly ExpectedDigest[],
  { kind, packed }: ExpectedDigests,
  hashing: 'host' | 'device',
): Promise<CheckTarget['expected']> {
  const digests = own.map(({ digest }) => digest);
  const [first] = digests;
  if (manifest === null || kind === 'digest') return first === undefined ? {} : { expected: first };
  if (packed === null) return { expectedFiles: digests };
  const manifestSha256 = toHex(await nodeCrypto.sha256(manifestBytes(manifest)));
  if (manifestSha256 !== packed.manifestSha256 || byteLength !== packed.byteLength) {
    throw invalidInput('expected', 'is a list of another model: its tensors lie elsewhere');
  }
  // With device hashing only the packed tensors are hashed, and their digest covers exactly these files' tensor bytes.
  return hashing === 'device'
    ? { expected: packed.fsverity }
    : { expected: packed.fsverity, expectedFiles: digests };
}

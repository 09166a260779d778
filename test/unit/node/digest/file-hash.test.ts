import { truncateSync, writeFileSync } from 'node:fs';
import { appendFile, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  createPortableEngine,
  type DigestEngine,
  type HashFileOptions,
} from '../../../../src/digest/index.js';
import { NativeEngine } from '../../../../src/node/digest/native-engine.js';
import { findNativeHasher } from '../../../../src/node/digest/native-hasher.js';
import { type FileSource, fileSource } from '../../../../src/node/files/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { xorshiftBytes } from '../../../support/xorshift.js';
import { failure } from '../../manager/fixture.js';

const MIB = 2 ** 20;
/** Three windows are under way at a time. */
const WINDOW = 4 * MIB;

const native = findNativeHasher();
const without = native === null ? ' (skipped: no block hasher runs here)' : '';

let folder = '';
let path = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'file-digest-'));
  path = join(folder, 'weights.bin');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Hashes the file as the addon's threads read it; what opens the engine and the file closes them too. */
async function digest(options: HashFileOptions = {}, sha256 = false) {
  const engine = new NativeEngine(native);
  const source = await fileSource(path);
  try {
    return await hashed(engine, source, options, sha256);
  } finally {
    await source.close();
    await engine.close();
  }
}

async function hashed(
  engine: NativeEngine,
  source: FileSource,
  options: HashFileOptions = {},
  sha256 = false,
) {
  const { readNatively } = source;
  if (engine.hashFile === undefined || readNatively === undefined) throw new Error('cannot hash files');
  const request = { byteLength: source.byteLength, sha256, keep: 'leaves' } as const;
  const found = await engine.hashFile(request, readNatively.bind(source), options);
  await source.unchanged();
  return found;
}

/** What the same engine finds in the bytes as a stream. */
async function streamed(engine: DigestEngine, bytes: Uint8Array, sha256: boolean) {
  const stream = engine.start({ byteLength: bytes.length, sha256, keep: 'leaves' });
  await stream.update(bytes);
  return await stream.finish();
}

describe.skipIf(native === null)(`a file that the addon’s threads read and hash${without}`, () => {
  it.each([
    0,
    1,
    4095,
    4096,
    4097,
    256 * 1024,
    256 * 1024 + 1,
    WINDOW - 1,
    WINDOW,
    WINDOW + 1,
    5 * WINDOW + 4097,
  ])('%i bytes: the digest of another engine, and progress up to the end', async (size) => {
    const bytes = xorshiftBytes(size + 1, size);
    await writeFile(path, bytes);
    const seen: number[] = [];
    const found = await digest({ onBytes: (done) => seen.push(done) });
    const other = new NativeEngine(null);
    expect(found).toEqual(await streamed(other, bytes, false));
    expect(await digest({}, true)).toEqual(await streamed(other, bytes, true));
    await other.close();
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1) ?? 0).toBe(size);
  });

  it('is what the addon’s engine can do, with what is a file', async () => {
    expect(new NativeEngine(null).hashFile).toBeUndefined();
    expect(createPortableEngine('wasm').hashFile).toBeUndefined();
    expect(bytesSource(new Uint8Array(10)).readNatively).toBeUndefined();
  });

  it('an abort ends it between windows; nothing is left under way', async () => {
    await writeFile(path, new Uint8Array(6 * WINDOW));
    const aborting = new AbortController();
    const seen: number[] = [];
    const ended = digest({
      signal: aborting.signal,
      onBytes: (done) => {
        seen.push(done);
        aborting.abort();
      },
    });
    expect(await failure(ended)).toMatchObject({ code: 'ABORTED' });
    expect(seen).toEqual([WINDOW]);
    expect(await failure(digest({ signal: AbortSignal.abort() }))).toMatchObject({ code: 'ABORTED' });
  });

  it.each([
    ['in its first window', 4096],
    ['in one that is under way beside it', WINDOW + 5],
    ['in a later one', 4 * WINDOW - 1],
  ])('[IV-006] a file that is cut short %s is told by the byte where it ends', async (_where, end) => {
    await writeFile(path, new Uint8Array(6 * WINDOW));
    const engine = new NativeEngine(native);
    const source = await fileSource(path);
    await truncate(path, end);
    for (const sha256 of [false, true])
      expect(await failure(hashed(engine, source, {}, sha256))).toMatchObject({
        code: 'SOURCE_MISMATCH',
        message: `the file "weights.bin" ends at byte ${end} of ${6 * WINDOW}`,
      });
    await source.close();
    await engine.close();
  });

  it('[IV-006] a file that grew, or was written, while it was hashed', async () => {
    await writeFile(path, new Uint8Array(2 * WINDOW));
    await expect(digest({ onBytes: () => writeFileSync(path, 'x', { flag: 'r+' }) })).rejects.toMatchObject({
      code: 'SOURCE_MISMATCH',
    });
    await expect(digest({ onBytes: () => truncateSync(path, 3 * WINDOW) })).rejects.toMatchObject({
      code: 'SOURCE_MISMATCH',
      message: expect.stringContaining('grew'),
    });
    await appendFile(path, 'x');
    expect((await digest()).byteLength).toBe(3 * WINDOW + 1);
  });

  it('a file whose source was closed is INVALID_INPUT that says so', async () => {
    await writeFile(path, new Uint8Array(5));
    const engine = new NativeEngine(native);
    const source = await fileSource(path);
    await source.close();
    expect(await failure(hashed(engine, source))).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'path',
      message: expect.stringContaining('could not be read (its source was closed)'),
    });
    await engine.close();
  });

  it('a file that cannot be read is INVALID_INPUT in the system’s words', async () => {
    await writeFile(path, new Uint8Array(5));
    const engine = new NativeEngine({
      name: 'broken',
      hash: () => undefined,
      hashAsync: async () => undefined,
      readFile: async () => 0,
      hashFile: async () => {
        throw Object.assign(new Error('pread failed'), { code: 'SYSTEM', errno: -5 });
      },
    });
    const source = await fileSource(path);
    expect(await failure(hashed(engine, source))).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'path',
      message: expect.stringContaining('could not be read (input/output error)'),
    });
    await source.close();
  });
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bytesSource, type ManagerOptions, type Source, VramManager } from '../../../../src/index.js';
import { fileSource, findNativeHasher } from '../../../../src/node/index.js';

import { xorshiftBytes } from '../../../support/xorshift.js';
import { failure, Recorder } from '../fixture.js';

const MIB = 2 ** 20;
/** Nine windows of 4 MiB for the threads that hash, 17 chunks of 2 MiB for what is uploaded. */
const BYTES = xorshiftBytes(41, 33 * MIB + 5);

const without = findNativeHasher() === null ? ' (skipped: no block hasher runs here)' : '';

let folder = '';
let path = '';
let manager: VramManager;
let recorder: Recorder;

async function open(options: Partial<ManagerOptions> = {}): Promise<void> {
  recorder = new Recorder();
  manager = await VramManager.open({
    device: 'host',
    workerId: 'loading',
    policy: 'any',
    observers: [recorder],
    ...options,
  });
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'load-'));
  path = join(folder, 'weights.bin');
});
afterEach(async () => {
  expect(manager.status().liveShards).toBe(0);
  await manager.close();
  await rm(folder, { recursive: true, force: true });
});

/** A file of these bytes, with parts of its source replaced. */
async function source(replaced: Partial<Source> = {}, bytes = BYTES): Promise<Source> {
  await writeFile(path, bytes);
  const file = await fileSource(path);
  const { readNatively } = file;
  return {
    ...(readNatively === undefined ? {} : { readNatively: readNatively.bind(file) }),
    byteLength: file.byteLength,
    label: file.label,
    stream: (options) => file.stream(options),
    unchanged: () => file.unchanged(),
    close: () => file.close(),
    ...replaced,
  };
}

describe(`a file that is uploaded in one pass and hashed in another${without}`, () => {
  it.skipIf(without !== '')(
    'has the digests of its bytes; progress is what both passes have done',
    async () => {
      await open();
      const expected = await manager.seal(bytesSource(BYTES));
      await manager.release(expected);
      for (const digests of [['sha256', 'fsverity'], ['fsverity']] as const) {
        const read: number[] = [];
        const file = await source();
        const { readNatively } = file;
        if (readNatively === undefined) throw new Error('not a file');
        const counting: Source = {
          ...file,
          readNatively: async (offset, length, native) => {
            await readNatively(offset, length, native);
            read.push(offset + length);
          },
        };
        const progress: number[] = [];
        const shard = await manager.seal(counting, {
          digests,
          onProgress: ({ phase, bytes }) => void (phase === 'load' && progress.push(bytes)),
        });
        expect(shard.fsverity).toBe(expected.fsverity);
        expect(shard.sha256).toBe(digests.length === 2 ? expected.sha256 : null);
        expect(Math.max(...read)).toBe(BYTES.length);
        expect(progress).toEqual([...progress].sort((a, b) => a - b));
        expect(progress.at(-1)).toBe(BYTES.length);
        const stages = recorder.of('operation.stage').map(({ stage }) => stage);
        expect(stages).toEqual(expect.arrayContaining(['read', 'upload', 'hash']));
        await manager.verify(shard);
        await manager.release(shard);
        await file.close();
      }
    },
  );

  it.skipIf(without !== '')('does so for 4 MiB and more, and not for what is no file', async () => {
    await open();
    let natively = 0;
    const readNatively: Source['readNatively'] = async () => {
      natively++;
      throw new Error('read by a thread');
    };
    const small = await source({ readNatively }, BYTES.subarray(0, 4 * MIB - 1));
    await manager.release(await manager.seal(small));
    expect(natively).toBe(0);
    await small.close();
    const large = await source({ readNatively }, BYTES.subarray(0, 4 * MIB));
    expect(await failure(manager.seal(large))).toMatchObject({ code: 'INVALID_INPUT', argument: 'source' });
    expect(natively).toBeGreaterThan(0);
    await large.close();
  });

  it.skipIf(without !== '')('[CI-004] is not sealed where the two passes saw different bytes', async () => {
    await open();
    const other = BYTES.slice();
    other[20 * MIB] = (other[20 * MIB] ?? 0) ^ 1;
    const file = await source({ stream: (options) => bytesSource(other).stream(options) });
    expect(await failure(manager.seal(file, { digests: ['fsverity'] }))).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
    });
    await file.close();
  });

  it.skipIf(without !== '')('ends both passes when one fails, and tells the first failure', async () => {
    await open();
    let left = false;
    const endless = await source({
      stream: async function* () {
        try {
          for (;;) {
            await new Promise((resolve) => setTimeout(resolve, 5));
            yield new Uint8Array(1);
          }
        } finally {
          left = true;
        }
      },
      readNatively: async () => {
        throw new Error('no such disk');
      },
    });
    expect(await failure(manager.seal(endless))).toMatchObject({
      code: 'INVALID_INPUT',
      message: expect.stringContaining('"source" failed while it was read'),
    });
    await expect.poll(() => left).toBe(true);
    await endless.close();
    let reads = 0;
    const broken = await source({
      // biome-ignore lint/correctness/useYield: it fails before its first chunk
      stream: async function* () {
        throw new Error('no more');
      },
      readNatively: async () => {
        reads++;
        await new Promise((resolve) => setTimeout(resolve, 20));
      },
    });
    expect(await failure(manager.seal(broken))).toMatchObject({ code: 'INVALID_INPUT', argument: 'source' });
    const before = reads;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(reads).toBe(before);
    await broken.close();
  });

  it.skipIf(without !== '')(
    'ends with the caller’s signal, and with the limit of a source that stalls',
    async () => {
      await open();
      const aborting = new AbortController();
      const file = await source();
      const sealing = manager.seal(file, {
        signal: aborting.signal,
        onProgress: () => aborting.abort(),
      });
      expect(await failure(sealing)).toMatchObject({ code: 'ABORTED' });
      await file.close();
      await manager.close();
      await open({ stallMs: 200 });
      const stalled = await source({ readNatively: () => new Promise(() => undefined) });
      expect(await failure(manager.seal(stalled))).toMatchObject({
        code: 'SOURCE_MISMATCH',
        message: expect.stringContaining('gave nothing for 200 ms'),
      });
      await stalled.close();
    },
  );
});

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { requireDigests } from '../../../../src/manager/operations/seal-request.js';
import { bytesSource, type Source } from '../../../../src/source/index.js';
import { failure, openHost, pattern } from '../fixture.js';

const bytes = pattern(100);

const sha256 = createHash('sha256').update(bytes).digest('hex');

const zeros = '0'.repeat(64);

const ones = '1'.repeat(64);

/** What no compiler has seen. */
const given = (value: unknown) => JSON.parse(JSON.stringify(value));

describe('a request to seal', () => {
  const noSource = '"source" must be a source: see fileSource, urlSource, bytesSource and streamSource';
  it.each<[string, unknown]>([
    ['null', null],
    ['a number', 5],
    ['an object of nothing', {}],
    ['an object whose stream is none', { ...bytesSource(bytes), stream: 5 }],
    ['a function', Object.assign(() => undefined, bytesSource(bytes))],
  ])('refuses %s for a source', async (_name, source) => {
    const { manager } = await openHost();
    expect(await failure(manager.seal(source as Source))).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'source',
      message: noSource,
    });
    await manager.close();
  });

  it.each<[string, object]>([
    ['"reopen" must be a function that opens the source again', { reopen: given({}) }],
    ['"share" must be true or false', { share: given('yes') }],
    ['"hashing" must be one of host, device, got string', { hashing: given('gpu') }],
    [
      '"digests" must be ["fsverity"], or left out, with hashing "device"',
      { hashing: 'device', digests: ['sha256'], expected: `fsverity-sha256-12:${ones}` },
    ],
    [
      '"digests" must be ["fsverity"], or left out, with hashing "device"',
      { hashing: 'device', digests: given('fsverity'), expected: `fsverity-sha256-12:${ones}` },
    ],
    [
      '"expected" has a sha256, which hashing "device" cannot check: give the fsverity digest alone',
      { hashing: 'device', expected: `sha256:${sha256}` },
    ],
    [
      '"expected" must hold the fsverity-sha256-12 digest of the source with hashing "device"',
      { hashing: 'device', digests: ['fsverity'] },
    ],
    [
      '"digests" must be ["fsverity"] or ["sha256", "fsverity"]: fsverity is what is verified in place',
      { digests: ['sha256'] },
    ],
    [
      '"digests" must be ["fsverity"] or ["sha256", "fsverity"]: fsverity is what is verified in place',
      { digests: 'fsverity' },
    ],
    [
      '"digests" must be ["fsverity"] or ["sha256", "fsverity"]: fsverity is what is verified in place',
      { digests: ['fsverity', 'sha256', 'md5'] },
    ],
    [
      '"expected" has a sha256 that "digests" leaves out: add "sha256" there',
      { digests: ['fsverity'], expected: `sha256:${sha256}` },
    ],
    [
      '"expected" names two different sha256 digests',
      { expected: [`sha256:${zeros}`, `fsverity-sha256-12:${zeros}`, `sha256:${ones}`] },
    ],
    [
      '"expected" names two different fsverity digests',
      { expected: [`fsverity-sha256-12:${zeros}`, `fsverity-sha256-12:${ones}`] },
    ],
    ['"modelRef" is needed with shardIndex and totalShards', { shardIndex: 0, totalShards: 1 }],
    ['"modelRef" is needed with shardIndex and totalShards', { shardIndex: 0 }],
    ['"modelRef" is needed with shardIndex and totalShards', { totalShards: 1 }],
    ['"totalShards" must be an integer from 1 to 1024, got undefined', { modelRef: 'm', shardIndex: 0 }],
    [
      '"totalShards" must be an integer from 1 to 1024, got 0',
      { modelRef: 'm', shardIndex: 0, totalShards: 0 },
    ],
    [
      '"totalShards" must be an integer from 1 to 1024, got 1025',
      { modelRef: 'm', shardIndex: 0, totalShards: 1025 },
    ],
    ['"shardIndex" must be an integer from 0 to 3, got 4', { modelRef: 'm', shardIndex: 4, totalShards: 4 }],
    [
      '"shardIndex" must be an integer from 0 to 3, got -1',
      { modelRef: 'm', shardIndex: -1, totalShards: 4 },
    ],
    ['"shardIndex" must be an integer from 0 to 3, got undefined', { modelRef: 'm', totalShards: 4 }],
    ['"shardId" must be 1 to 256 characters of A-Z, a-z, 0-9, "_" and "-"', { shardId: '' }],
  ])('is refused with words: %s', async (message, options) => {
    const { manager } = await openHost();
    expect(await failure(manager.seal(bytesSource(bytes), options))).toMatchObject({
      code: 'INVALID_INPUT',
      message,
    });
    await manager.close();
  });

  it.each([
    [0, '"source" is empty: there is nothing to seal'],
    [-1, undefined],
  ])('a source of %d bytes', async (byteLength, message) => {
    const { manager } = await openHost();
    expect((await failure(manager.seal({ ...bytesSource(bytes), byteLength }))).message).toBe(
      message ?? '"source.byteLength" must be an integer of at least 0, got -1',
    );
    await manager.close();
  });

  it('takes a source of maxShardBytes, and none with a byte more', async () => {
    const { manager } = await openHost({ options: { maxShardBytes: 8192 } });
    expect(await manager.seal(bytesSource(pattern(8192)))).toMatchObject({ byteLength: 8192 });
    expect((await failure(manager.seal(bytesSource(pattern(8193))))).message).toBe(
      '"source" has 8193 bytes, more than maxShardBytes (8192)',
    );
    await manager.close();
  });

  it('takes the first and the last place of the largest set, a set of one, a model alone, and none', async () => {
    const { manager } = await openHost();
    const place = async (options: object): Promise<unknown> => {
      const { modelRef, shardIndex, totalShards } = await manager.seal(bytesSource(bytes), options);
      return { modelRef, shardIndex, totalShards };
    };
    for (const options of [
      { modelRef: 'm', shardIndex: 0, totalShards: 1024 },
      { modelRef: 'm', shardIndex: 1023, totalShards: 1024 },
      { modelRef: 'one', shardIndex: 0, totalShards: 1 },
    ]) {
      expect(await place(options)).toEqual(options);
    }
    const none = { shardIndex: null, totalShards: null };
    expect(await place({ modelRef: 'alone' })).toEqual({ modelRef: 'alone', ...none });
    expect(await place({})).toEqual({ modelRef: null, ...none });
    await manager.close();
  });

  it('computes what it is asked to: both digests, or fs-verity alone, in any order', async () => {
    const { manager } = await openHost();
    for (const [digests, expected] of [
      [undefined, sha256],
      [['sha256', 'fsverity'], sha256],
      [['fsverity', 'sha256'], sha256],
      [['fsverity'], null],
    ] as const) {
      const shard = await manager.seal(bytesSource(bytes), digests === undefined ? {} : { digests });
      expect(shard.sha256).toBe(expected);
    }
    await manager.close();
  });

  it('takes a reopening function, and one expected digest as text as well as in a list', async () => {
    const { manager } = await openHost();
    const { fsverity } = await manager.seal(bytesSource(bytes));
    const reopen = async (): Promise<Source> => bytesSource(bytes);
    for (const expected of [fsverity, [fsverity, fsverity], [], [`sha256:${sha256}`, fsverity]]) {
      expect(await manager.seal(bytesSource(bytes), { expected, reopen })).toMatchObject({ fsverity });
    }
    expect(
      await manager.seal(bytesSource(bytes), { expected: fsverity, digests: ['fsverity'] }),
    ).toMatchObject({
      sha256: null,
    });
    await manager.close();
  });

  it('without an id gets one of 16 random bytes', async () => {
    const { manager } = await openHost();
    const { shardId } = await manager.seal(bytesSource(bytes));
    expect(shardId).toMatch(/^[0-9a-f]{32}$/);
    expect((await manager.seal(bytesSource(bytes))).shardId).not.toBe(shardId);
    await manager.close();
  });
});

describe('[CI-009] expected digests', () => {
  const found = { sha256, fsverity: `fsverity-sha256-12:${ones}` };

  it('that are met, or not asked for, are fine', () => {
    for (const expected of [
      { sha256: null, fsverity: null },
      { sha256, fsverity: null },
      { sha256: null, fsverity: ones },
      { sha256, fsverity: ones },
    ]) {
      expect(() => requireDigests(expected, found)).not.toThrow();
    }
  });

  it('that are not met say what was found and what was expected', () => {
    expect(() => requireDigests({ sha256: zeros, fsverity: ones }, found)).toThrow(
      expect.objectContaining({
        code: 'SOURCE_MISMATCH',
        message: `the source has sha256 ${sha256}, expected ${zeros}; nothing was sealed`,
      }),
    );
    expect(() => requireDigests({ sha256, fsverity: zeros }, found)).toThrow(
      expect.objectContaining({
        code: 'SOURCE_MISMATCH',
        message:
          `the source has fsverity fsverity-sha256-12:${ones}, expected fsverity-sha256-12:${zeros}; nothing ` +
          `was sealed`,
      }),
    );
    expect(() => requireDigests({ sha256: zeros, fsverity: null }, { ...found, sha256: null })).toThrow(
      expect.objectContaining({ code: 'SOURCE_MISMATCH' }),
    );
  });
});

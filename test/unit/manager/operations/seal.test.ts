import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import { bytesSource, type Source, streamSource } from '../../../../src/source/index.js';
import { failOnce, failure, lieAboutRoot, openHost, pattern, Recorder } from '../fixture.js';

const MIB = 2 ** 20;
/** What a device with windows of 256 KiB says while it hashes 5 MiB. */
const WINDOWS = Array.from({ length: 20 }, (_, index) => (index + 1) * 256 * 1024);

/** fs-verity of the kernel's documentation, by node:crypto alone. */
function fsverity(bytes: Uint8Array): string {
  const sha = (data: Uint8Array): Buffer => createHash('sha256').update(data).digest();
  const level = (data: Uint8Array): Buffer => {
    const hashes: Buffer[] = [];
    for (let offset = 0; offset < data.length; offset += 4096) {
      const block = Buffer.alloc(4096);
      block.set(data.subarray(offset, offset + 4096));
      hashes.push(sha(block));
    }
    return Buffer.concat(hashes);
  };
  let hashes = level(bytes);
  while (hashes.length > 32) hashes = level(hashes);
  const descriptor = Buffer.alloc(256);
  descriptor.set([1, 1, 12]);
  descriptor.writeBigUInt64LE(BigInt(bytes.length), 8);
  descriptor.set(hashes, 16);
  return `fsverity-sha256-12:${sha(descriptor).toString('hex')}`;
}

describe('seal', () => {
  it.each([1, 4095, 4096, 4097, 524_288, 524_289, 3 * MIB + 1])(
    '[CI-004] [CI-008] seals %i bytes with the digests that others compute',
    async (byteLength) => {
      const { manager, device } = await openHost();
      const bytes = pattern(byteLength);
      const shard = await manager.seal(bytesSource(bytes), { shardId: 'a' });
      expect(shard.sha256).toBe(createHash('sha256').update(bytes).digest('hex'));
      expect(shard.fsverity).toBe(fsverity(bytes));
      expect(shard.byteLength).toBe(byteLength);
      const report = await manager.verify(shard);
      expect(report).toMatchObject({ verified: true, actual: shard.fsverity, mode: 'resident', damaged: [] });
      expect(await manager.verify(shard, { mode: 'readback' })).toMatchObject({
        verified: true,
        mode: 'readback',
      });
      expect(await manager.release(shard)).toEqual({
        released: true,
        freedBytes: Math.ceil(byteLength / 4096) * 4096,
        wiped: true,
        recorded: true,
      });
      expect(device.stats().liveRegions).toBe(0);
      await manager.close();
    },
  );

  it('[WK-001] [VP-006] returns every field, frozen, with residency and immutability inside the signature', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(5000)), {
      modelRef: 'org/model@1',
      shardIndex: 0,
      totalShards: 2,
    });
    expect(Object.keys(shard).sort()).toEqual([
      'byteLength',
      'device',
      'emulated',
      'fsverity',
      'immutability',
      'modelRef',
      'residency',
      'sealId',
      'sealed',
      'sealedAt',
      'sha256',
      'shardId',
      'shardIndex',
      'signature',
      'totalShards',
      'v',
      'workerId',
    ]);
    expect(shard).toMatchObject({
      v: 1,
      sealed: true,
      sealedAt: '2026-01-02T03:04:05.678Z',
      residency: 'host',
      immutability: 'api-only',
      emulated: false,
      device: { backend: 'host', index: 0, name: 'system memory', uuid: null },
      workerId: 'worker-1',
    });
    expect(shard.shardId).toMatch(/^[0-9a-f]{32}$/);
    expect(shard.sealId).toMatch(/^[0-9a-f]{32}$/);
    expect(Object.isFrozen(shard) && Object.isFrozen(shard.device)).toBe(true);
    await manager.close();
  });

  it('[CI-008] seals the same digests from streams in any chunking', async () => {
    const { manager } = await openHost();
    const bytes = pattern(MIB + 77);
    const whole = await manager.seal(bytesSource(bytes));
    for (const step of [1000, 4096, 65_537, 2 * MIB]) {
      const chunks = function* (): Generator<Uint8Array> {
        for (let offset = 0; offset < bytes.length; offset += step) yield bytes.slice(offset, offset + step);
      };
      const shard = await manager.seal(streamSource(chunks(), bytes.length));
      expect([shard.sha256, shard.fsverity]).toEqual([whole.sha256, whole.fsverity]);
    }
    await manager.close();
  });

  it('leaves the flat hash out if asked to', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(10)), { digests: ['fsverity'] });
    expect(shard.sha256).toBeNull();
    await manager.close();
  });

  it('[CI-009] checks expected digests before sealing, and a mismatch seals nothing', async () => {
    const { manager, device, recorder } = await openHost();
    const bytes = pattern(9000);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    await manager.seal(bytesSource(bytes), { expected: [`sha256:${sha256.toUpperCase()}`, fsverity(bytes)] });
    for (const expected of [`sha256:${'0'.repeat(64)}`, `fsverity-sha256-12:${'0'.repeat(64)}`]) {
      expect(await failure(manager.seal(bytesSource(bytes), { expected }))).toMatchObject({
        code: 'SOURCE_MISMATCH',
      });
    }
    expect(device.stats().liveRegions).toBe(1);
    expect(recorder.of('vram.sealed')).toHaveLength(1);
    await manager.close();
  });

  it("[AU-001] [NA-003] tells every step in order, with the caller's correlation and trace ids", async () => {
    const { manager, recorder } = await openHost();
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await manager.seal(bytesSource(pattern(10)), { shardId: 'a', correlationId: 'req-7', traceparent });
    const events = recorder.events.filter(({ operation }) => operation === 'seal');
    expect(events.map((event) => (event.type === 'operation.stage' ? event.stage : event.type))).toEqual([
      'operation.started',
      'vram.allocated',
      'read',
      'hash',
      'upload',
      'digest.computed',
      'freeze',
      'device-tree',
      'digest.computed',
      'sign',
      'signature.generated',
      'vram.sealed',
      'operation.finished',
    ]);
    for (const event of events) {
      expect(event).toMatchObject({ correlationId: 'req-7', traceparent, workerId: 'worker-1' });
      expect(event.operationId).toBe(events[0]?.operationId);
      expect(event.device?.id).toBe('host');
    }
    expect(events.slice(1).every(({ shardId }) => shardId === 'a')).toBe(true);
    expect(recorder.types('open')).toEqual([
      'operation.started',
      'device.opened',
      'manager.opened',
      'operation.finished',
    ]);
    await manager.close();
  });

  it('reports progress from the first chunk to the last', async () => {
    const { manager } = await openHost();
    const seen: unknown[] = [];
    await manager.seal(bytesSource(pattern(5 * MIB)), { onProgress: (progress) => seen.push(progress) });
    expect(seen).toEqual([
      { phase: 'load', bytes: 2 * MIB, totalBytes: 5 * MIB },
      { phase: 'load', bytes: 4 * MIB, totalBytes: 5 * MIB },
      { phase: 'load', bytes: 5 * MIB, totalBytes: 5 * MIB },
      ...WINDOWS.map((bytes) => ({ phase: 'verify', bytes, totalBytes: 5 * MIB })),
    ]);
    await manager.close();
  });
});

describe('seal refuses', () => {
  const good = (): Source => bytesSource(pattern(100));
  it.each<[string, string, () => Source, object]>([
    ['[IV-003] a path as id', 'shardId', good, { shardId: '../x' }],
    ['[IV-005] a null byte in an id', 'shardId', good, { shardId: 'a\0b' }],
    ['[IV-003] an empty id', 'shardId', good, { shardId: '' }],
    ['[IV-003] an id of 257 characters', 'shardId', good, { shardId: 'a'.repeat(257) }],
    ['[MS-003] nothing', 'source', () => bytesSource(new Uint8Array()), {}],
    ['[IV-001] more than maxShardBytes', 'source', () => bytesSource(new Uint8Array(2 * MIB + 1)), {}],
    ['no source', 'source', () => Object.create(null), {}],
    ['[IV-004] a short digest', 'expected', good, { expected: 'sha256:abcd' }],
    ['[IV-004] a digest of another kind', 'expected', good, { expected: `md5:${'0'.repeat(64)}` }],
    [
      'two digests that differ',
      'expected',
      good,
      { expected: [`sha256:${'0'.repeat(64)}`, `sha256:${'1'.repeat(64)}`] },
    ],
    [
      'sha256 expected but not computed',
      'expected',
      good,
      { expected: `sha256:${'0'.repeat(64)}`, digests: ['fsverity'] },
    ],
    ['digests without fsverity', 'digests', good, { digests: ['sha256'] }],
    ['an unknown digest', 'digests', good, { digests: ['fsverity', 'crc32'] }],
    ['[IV-007] a control character in modelRef', 'modelRef', good, { modelRef: 'a\u0007' }],
    ['[IV-007] a lone surrogate in a correlation id', 'correlationId', good, { correlationId: '\ud800' }],
    ['[IV-007] a correlation id of 1025 bytes', 'correlationId', good, { correlationId: 'ä'.repeat(513) }],
    ['a malformed traceparent', 'traceparent', good, { traceparent: '00-0-0-0' }],
    [
      'a traceparent of zeros',
      'traceparent',
      good,
      { traceparent: `00-${'0'.repeat(32)}-b7ad6b7169203331-01` },
    ],
    ['an index without a total', 'totalShards', good, { modelRef: 'm', shardIndex: 0 }],
    ['an index without a model', 'modelRef', good, { shardIndex: 0, totalShards: 2 }],
    ['an index past the total', 'shardIndex', good, { modelRef: 'm', shardIndex: 2, totalShards: 2 }],
    ['a negative index', 'shardIndex', good, { modelRef: 'm', shardIndex: -1, totalShards: 2 }],
    ['a fractional total', 'totalShards', good, { modelRef: 'm', shardIndex: 0, totalShards: 1.5 }],
    ['1025 shards', 'totalShards', good, { modelRef: 'm', shardIndex: 0, totalShards: 1025 }],
    ['NaN as an index', 'shardIndex', good, { modelRef: 'm', shardIndex: Number.NaN, totalShards: 2 }],
  ])('%s, before anything is allocated', async (_name, argument, source, options) => {
    const { manager, device, recorder } = await openHost({ options: { maxShardBytes: 2 * MIB } });
    const error = await failure(manager.seal(source(), options));
    expect(error).toMatchObject({ code: 'INVALID_INPUT', argument });
    expect(error.message).toContain(`"${argument}"`);
    expect(recorder.types('seal')).toEqual(['operation.started', 'validation.failed', 'operation.finished']);
    expect(device.stats().liveRegions).toBe(0);
    expect((await manager.capacity()).usedBytes).toBe(0);
    await manager.close();
  });

  it.each([Number.NaN, -1, 0.5, Number.POSITIVE_INFINITY, 2 ** 53])(
    'a source that says it has %d bytes',
    async (byteLength) => {
      const { manager } = await openHost();
      const source: Source = { ...good(), byteLength };
      expect(await failure(manager.seal(source))).toMatchObject({
        code: 'INVALID_INPUT',
        argument: 'source.byteLength',
      });
      await manager.close();
    },
  );

  it('[IV-003] the id of a live shard, also of one that is being sealed; it is free again after release', async () => {
    const { manager } = await openHost();
    const both = await Promise.allSettled([
      manager.seal(good(), { shardId: 'a' }),
      manager.seal(good(), { shardId: 'a' }),
    ]);
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    const [first] = both;
    if (first?.status !== 'fulfilled') throw new Error('unreachable');
    expect(await failure(manager.seal(good(), { shardId: 'a' }))).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'shardId',
    });
    await manager.release(first.value);
    await manager.seal(good(), { shardId: 'a' });
    await manager.close();
  });
});

describe('[RP-006] a seal that fails gives back everything', () => {
  const bytes = pattern(300_000);
  const failing = (parts: Partial<Source>): Source => ({ ...bytesSource(bytes), ...parts });

  it.each<[string, string, () => Source]>([
    ['a stream that ends early', 'SOURCE_MISMATCH', () => streamSource([bytes.subarray(1)], bytes.length)],
    ['a stream that goes on', 'SOURCE_MISMATCH', () => streamSource([bytes, bytes], bytes.length)],
    [
      'a source that throws',
      'INVALID_INPUT',
      () =>
        failing({
          async *stream() {
            yield bytes.subarray(0, 10);
            throw new TypeError('no');
          },
        }),
    ],
    ['a source that gives more than it says', 'SOURCE_MISMATCH', () => failing({ byteLength: 1000 })],
    [
      'a source that gives less than it says',
      'SOURCE_MISMATCH',
      () => failing({ byteLength: bytes.length + 1 }),
    ],
    [
      '[IV-006] a source that changed',
      'SOURCE_MISMATCH',
      () =>
        failing({
          unchanged: () => Promise.reject(new VramError('SOURCE_MISMATCH', 'it changed')),
        }),
    ],
    [
      'a source whose last check throws',
      'INVALID_INPUT',
      () => failing({ unchanged: () => Promise.reject(new Error('x')) }),
    ],
    [
      'a source that gives text',
      'INVALID_INPUT',
      () =>
        failing({
          async *stream() {
            yield JSON.parse('"text"');
          },
        }),
    ],
  ])('%s: %s', async (_name, code, source) => {
    const { manager, device, recorder } = await openHost();
    const before = await manager.capacity();
    expect(await failure(manager.seal(source(), { shardId: 'a' }))).toMatchObject({ code });
    expect(device.stats().liveRegions).toBe(0);
    expect(await manager.capacity()).toEqual(before);
    expect(recorder.of('vram.deallocated')).toMatchObject([
      { wiped: true, usedBytes: 0, error: null, shardId: 'a' },
    ]);
    expect(recorder.of('operation.finished').at(-2)).toMatchObject({ operation: 'seal', ok: false });
    // The id is free again.
    await manager.seal(bytesSource(bytes), { shardId: 'a' });
    await manager.close();
  });

  const steps = ['write', 'freeze', 'root'] as const;
  it.each(steps)('a device that fails in %s', async (step) => {
    const { manager, device, recorder } = await openHost({ wrap: (inner) => failOnce(inner, step) });
    const before = await manager.capacity();
    expect(await failure(manager.seal(bytesSource(bytes)))).toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    expect(device.stats().liveRegions).toBe(0);
    expect(await manager.capacity()).toEqual(before);
    expect(recorder.of('vram.deallocated')).toHaveLength(1);
    await manager.seal(bytesSource(bytes));
    await manager.close();
  });

  it('[RP-004] a device that has no memory left', async () => {
    let full = true;
    const { manager, recorder } = await openHost({
      inject: {
        beforeAllocate: (byteLength) => {
          if (full && byteLength === 303_104) throw new RangeError('no memory');
        },
      },
    });
    expect(await failure(manager.seal(bytesSource(bytes)))).toMatchObject({
      code: 'ALLOCATION_FAILED',
      kind: 'retriable',
    });
    expect(recorder.of('vram.allocation_failed')).toMatchObject([{ requestedBytes: 303_104, usedBytes: 0 }]);
    expect((await manager.capacity()).usedBytes).toBe(0);
    full = false;
    await manager.seal(bytesSource(bytes));
    await manager.close();
  });

  it('[AU-005] a required observer that refuses any one of the events of a seal: AUDIT_FAILED, nothing sealed', async () => {
    const refused: string[] = [];
    for (const type of [
      'operation.started',
      'vram.allocated',
      'digest.computed',
      'signature.generated',
      'vram.sealed',
    ]) {
      const recorder = new Recorder(true);
      const { manager, device } = await openHost({ recorder });
      recorder.refuse = (event) => event.operation === 'seal' && event.type === type;
      const error = await failure(manager.seal(bytesSource(bytes)));
      expect(error).toMatchObject({
        code: 'AUDIT_FAILED',
        cause: expect.objectContaining({ message: 'the disk is full' }),
      });
      expect(device.stats().liveRegions).toBe(0);
      expect(manager.status().liveShards).toBe(0);
      recorder.refuse = () => false;
      await manager.seal(bytesSource(bytes));
      await manager.close();
      refused.push(type);
    }
    expect(refused).toHaveLength(5);
  });

  it('a verification that differs looks again, and its progress begins again', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(5 * MIB)));
    await manager.drill(shard, { flips: 1, seed: 1 });
    const seen: number[] = [];
    const error = await failure(manager.verify(shard, { onProgress: ({ bytes: done }) => seen.push(done) }));
    expect(error).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(seen).toEqual([...WINDOWS, ...WINDOWS]);
    await manager.close();
  });

  it('a progress callback that throws while the device hashes is not called again', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(5 * MIB)));
    const own = new Error('mine');
    let calls = 0;
    const onProgress = (): void => {
      calls += 1;
      throw own;
    };
    expect(await failure(manager.verify(shard, { onProgress }))).toBe(own);
    expect(calls).toBe(1);
    expect(await manager.verify(shard)).toMatchObject({ verified: true });
    await manager.close();
  });

  it("a progress callback that throws is the caller's own error", async () => {
    const { manager, device } = await openHost();
    const own = new Error('mine');
    const error = await failure(
      manager.seal(bytesSource(bytes), {
        onProgress: () => {
          throw own;
        },
      }),
    );
    expect(error).toBe(own);
    expect(device.stats().liveRegions).toBe(0);
    await manager.close();
  });

  it('aborted before, while the source is stuck, and while it is hashed', async () => {
    const { manager, device } = await openHost();
    expect(
      await failure(manager.seal(bytesSource(bytes), { signal: AbortSignal.abort('no') })),
    ).toMatchObject({
      code: 'ABORTED',
      cause: 'no',
    });
    const stuck = new AbortController();
    const never = (async function* (): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 5);
      setTimeout(() => stuck.abort(), 5);
      await new Promise(() => undefined);
    })();
    expect(
      await failure(manager.seal(streamSource(never, bytes.length), { signal: stuck.signal })),
    ).toMatchObject({
      code: 'ABORTED',
    });
    const late = new AbortController();
    const hashing = manager.seal(bytesSource(bytes), { signal: late.signal, onProgress: () => late.abort() });
    expect(await failure(hashing)).toMatchObject({ code: 'ABORTED' });
    expect(device.stats().liveRegions).toBe(0);
    expect((await manager.capacity()).usedBytes).toBe(0);
    await manager.close();
  });

  it('[CI-004] a copy that did not arrive: INTEGRITY_VIOLATION; an inconsistent device: DEVICE_UNAVAILABLE', async () => {
    for (const [lies, code] of [
      [2, 'INTEGRITY_VIOLATION'],
      [1, 'DEVICE_UNAVAILABLE'],
    ] as const) {
      const { manager, device, recorder } = await openHost({ wrap: (inner) => lieAboutRoot(inner, lies) });
      expect(await failure(manager.seal(bytesSource(bytes)))).toMatchObject({ code });
      expect(recorder.of('seal.verification_failed')).toMatchObject([
        { sealId: null, transient: lies === 1 },
      ]);
      expect(device.stats().liveRegions).toBe(0);
      await manager.close();
    }
  });
});

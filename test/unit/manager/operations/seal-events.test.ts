import { describe, expect, it } from 'vitest';
import { createPortableEngine } from '../../../../src/digest/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, lieAboutRoot, openHost, overlay, pattern, Recorder } from '../fixture.js';

const bytes = pattern(10_000);

describe('seal', () => {
  it('[AU-001] tells each step with what it is about', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes), { modelRef: 'm', shardIndex: 1, totalShards: 2 });
    const { sealId, sha256, fsverity, sealedAt } = shard;
    const whole = { byteLength: 10_000, fsverity, durationMs: 0 };
    expect(recorder.of('digest.computed')).toMatchObject([
      { ...whole, where: 'host', sha256, engine: 'wasm' },
      { ...whole, where: 'device', sha256: null, engine: 'host' },
    ]);
    expect(recorder.of('signature.generated')).toMatchObject([{ sealId, durationMs: 0 }]);
    expect(recorder.of('vram.sealed')).toMatchObject([
      {
        ...whole,
        sealId,
        sha256,
        residency: 'host',
        immutability: 'api-only',
        sealedAt,
        shardIndex: 1,
        totalShards: 2,
      },
    ]);
    expect(
      recorder
        .of('operation.stage')
        .map(({ stage, byteLength, durationMs }) => [stage, byteLength, durationMs]),
    ).toEqual([
      ['read', 10_000, 0],
      ['hash', 10_000, 0],
      ['upload', 10_000, 0],
      ['freeze', null, 0],
      ['device-tree', 10_000, 0],
      ['sign', null, 0],
    ]);
    await manager.close();
  });

  it('frees the digest, also when it fails', async () => {
    const engine = createPortableEngine();
    let freed = 0;
    const watched = overlay(engine, {
      start: (request: Parameters<typeof engine.start>[0]) => {
        const stream = engine.start(request);
        return overlay(stream, {
          abort: () => {
            freed++;
            stream.abort();
          },
        });
      },
    });
    const { manager } = await openHost({ options: { engine: watched } });
    await manager.seal(bytesSource(bytes));
    expect(freed).toBe(1);
    await failure(manager.seal({ ...bytesSource(bytes), byteLength: 9 }));
    expect(freed).toBe(2);
    await manager.close();
  });

  it.each([
    [1, 'DEVICE_UNAVAILABLE', 'the device gave two different digests of the same bytes; nothing was sealed'],
    [2, 'INTEGRITY_VIOLATION', 'the bytes in device memory are not those of the source; nothing was sealed'],
  ] as const)(
    '[CI-004] bytes that did not arrive are told whole: %d looks that differ',
    async (lies, code, message) => {
      for (const heard of [true, false]) {
        const recorder = new Recorder(true);
        const { manager } = await openHost({ recorder, wrap: (device) => lieAboutRoot(device, lies) });
        if (!heard) recorder.refuse = ({ type }) => type === 'seal.verification_failed';
        const error = await failure(manager.seal(bytesSource(bytes)));
        expect(error).toMatchObject({ code, message });
        expect(error.cause).toEqual(heard ? undefined : expect.objectContaining({ code: 'AUDIT_FAILED' }));
        const [host] = recorder.of('digest.computed');
        expect(recorder.of('seal.verification_failed')).toMatchObject(
          heard
            ? [
                {
                  sealId: null,
                  mode: 'resident',
                  error: { code, message },
                  expectedDigest: host?.fsverity,
                  actualDigest: expect.stringMatching(/^fsverity-sha256-12:[0-9a-f]{64}$/),
                  transient: lies === 1,
                  damaged: [],
                  damagedGroups: 0,
                  durationMs: 0,
                },
              ]
            : [],
        );
        const [told] = recorder.of('seal.verification_failed');
        if (told !== undefined) expect(told.actualDigest).not.toBe(told.expectedDigest);
        await manager.close();
      }
    },
  );
});

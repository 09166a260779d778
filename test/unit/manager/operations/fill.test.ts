import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import type { Region } from '../../../../src/device/index.js';
import type { DigestStream } from '../../../../src/digest/index.js';
import type { Operation } from '../../../../src/events/operation.js';
import { fillRegion } from '../../../../src/manager/operations/fill.js';
import { sourceFailure } from '../../../../src/source/failure.js';
import { bytesSource, type Source, streamSource } from '../../../../src/source/index.js';
import { failure, openHost, pattern, readerOver, TestClock } from '../fixture.js';
import { bytes, stages, timed } from './heal-fixture.js';

describe('filling a region', () => {
  /** Gives its bytes in chunks of `size`, and turns the clock by 5 ms before each. */
  function slowly(data: Uint8Array, size: number, clock: TestClock): Source {
    return streamSource(
      (async function* () {
        for (let at = 0; at < data.length; at += size) {
          clock.turn(5);
          yield data.subarray(at, at + size);
        }
      })(),
      data.length,
      'slow',
    );
  }

  it('tells how long reading, hashing and copying took, added up over its chunks', async () => {
    const { manager, recorder, clock } = await timed({ write: 7 });
    const data = pattern(10_000);
    await manager.seal(slowly(data, 4_000, clock));
    const [read, hash, upload] = stages(recorder, 'seal');
    expect(read).toEqual(['read', 10_000, 15]);
    expect([hash?.[0], hash?.[1]]).toEqual(['hash', 10_000]);
    expect(upload).toEqual(['upload', 10_000, 21]);
    await manager.close();
  });

  it('takes exactly the bytes that the source announced', async () => {
    const { manager } = await openHost();
    const sealing = (gives: readonly Uint8Array[], announced: number) =>
      manager.seal({
        ...bytesSource(new Uint8Array(announced), 'odd.bin'),
        stream: async function* () {
          yield* gives;
        },
      });
    const ten = new Uint8Array(10);
    expect((await failure(sealing([ten, new Uint8Array(1)], 10))).message).toBe(
      'the source "odd.bin" gave more than 10 bytes; nothing was sealed',
    );
    expect((await failure(sealing([ten], 11))).message).toBe(
      'the source "odd.bin" gave 10 instead of 11 bytes; nothing was sealed',
    );
    expect((await sealing([ten.subarray(0, 4), ten.subarray(4)], 10)).byteLength).toBe(10);
    await manager.close();
  });

  it('refuses a source that gives something else, and wraps what a source throws', async () => {
    const { manager } = await openHost();
    const odd = (stream: () => AsyncIterable<unknown>): Source =>
      ({ ...bytesSource(bytes), stream }) as unknown as Source;
    const wrong = await failure(
      manager.seal(
        odd(async function* () {
          yield 'text';
        }),
      ),
    );
    expect(wrong).toMatchObject({ code: 'INVALID_INPUT', argument: 'source' });
    expect(wrong.message).toBe('"source" must give Uint8Array chunks');
    const cause = new Error('the network is down');
    const broken = await failure(
      manager.seal(
        odd(async function* () {
          yield bytes.subarray(0, 5);
          throw cause;
        }),
      ),
    );
    expect(broken).toMatchObject({ code: 'INVALID_INPUT', argument: 'source', cause });
    expect(broken.message).toBe('"source" failed while it was read');
    const own = new VramError('SOURCE_MISMATCH', 'its own');
    expect(
      await failure(
        manager.seal(
          odd(async function* () {
            yield bytes.subarray(0, 5);
            throw own;
          }),
        ),
      ),
    ).toBe(own);
    await manager.close();
  });

  it('that is aborted says so, whatever the source threw because of it', async () => {
    const { manager } = await openHost();
    const abort = new AbortController();
    const cause = new Error('reading was no longer needed');
    let given: AbortSignal | undefined;
    const source = {
      ...bytesSource(bytes),
      stream: async function* (options?: { signal?: AbortSignal }) {
        given = options?.signal;
        yield bytes.subarray(0, 5);
        abort.abort(cause);
        throw new Error('reading was cut off');
      },
    } as unknown as Source;
    const error = await failure(manager.seal(source, { signal: abort.signal }));
    expect(error).toMatchObject({ code: 'ABORTED', cause });
    expect(error.message).toBe('the operation was aborted by its signal');
    expect(given).toBeInstanceOf(AbortSignal);
    await manager.close();
  });

  const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

  /** A source of chunks, each of which takes five milliseconds. */
  function chunks(clock: TestClock, ...lengths: number[]): Source {
    return {
      ...bytesSource(new Uint8Array(100)),
      label: 'weights',
      async *stream() {
        for (const length of lengths) {
          clock.turn(5);
          yield new Uint8Array(length);
        }
        clock.turn(500);
      },
    };
  }

  function parts() {
    const clock = new TestClock();
    const stages: unknown[] = [];
    const operation = { clock, stageDone: async (...stage: unknown[]) => void stages.push(stage) };
    const written: unknown[] = [];
    const region = {
      byteLength: 100,
      write: async (offset: number, { length }: Uint8Array) => {
        await Promise.resolve();
        clock.turn(3);
        written.push([offset, length]);
      },
    };
    const digest = {
      update: async () => {
        await soon();
        clock.turn(2);
      },
    };
    const fill = (source: Source, options: Parameters<typeof fillRegion>[4] = {}): Promise<void> =>
      fillRegion(
        operation as unknown as Operation,
        readerOver(source, { clock, ends: [options.signal] }),
        region as unknown as Region,
        digest as unknown as DigestStream,
        options,
      );
    return { clock, stages, written, fill, digest };
  }

  it('tells what reading, hashing and uploading took, each for itself', async () => {
    const { clock, stages, written, fill } = parts();
    await fill(chunks(clock, 60, 40));
    // Both begin together; the upload is done three milliseconds later, the hash another two.
    expect(stages).toEqual([
      ['read', 100, 1000, 10],
      ['hash', 100, 1000, 10],
      ['upload', 100, 1000, 6],
    ]);
    expect(written).toEqual([
      [0, 60],
      [60, 40],
    ]);
  });

  it('refuses too much and too little with figures, and tells no stage then', async () => {
    for (const [lengths, gave] of [
      [[101], 'more than 100'],
      [[60, 41], 'more than 100'],
      [[60, 39], '99 instead of 100'],
      [[], '0 instead of 100'],
    ] as const) {
      const { clock, stages, fill } = parts();
      expect(await failure(fill(chunks(clock, ...lengths)))).toMatchObject({
        code: 'SOURCE_MISMATCH',
        message: `the source "weights" gave ${gave} bytes; nothing was sealed`,
      });
      expect(stages).toEqual([]);
    }
  });

  it('asks the source for chunks of 2 MiB, under a signal that fires with the operation', async () => {
    const asked: { chunkBytes: number; signal?: AbortSignal | undefined }[] = [];
    const { fill } = parts();
    const aborting = new AbortController();
    let onHalf = (): void => undefined;
    const source: Source = {
      ...bytesSource(new Uint8Array(100)),
      async *stream(options) {
        asked.push(options);
        yield new Uint8Array(50);
        onHalf();
        yield new Uint8Array(50);
      },
    };
    await fill(source);
    onHalf = () => aborting.abort('enough');
    expect(await failure(fill(source, { signal: aborting.signal }))).toMatchObject({ code: 'ABORTED' });
    expect(asked.map(({ chunkBytes }) => chunkBytes)).toEqual([2 ** 21, 2 ** 21]);
    expect(asked.map(({ signal }) => signal?.reason)).toEqual([undefined, 'enough']);
  });

  it('says what was wrong with the source', async () => {
    const { clock, fill, digest } = parts();
    const source: Source = {
      ...bytesSource(new Uint8Array(100)),
      async *stream() {
        yield JSON.parse('[1]');
      },
    };
    expect(await failure(fill(source))).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'source',
      message: '"source" must give Uint8Array chunks',
    });
    const own = new Error('mine');
    expect(sourceFailure(own, undefined)).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'source',
      message: '"source" failed while it was read',
      cause: own,
    });
    expect(sourceFailure(own, new AbortController().signal)).toMatchObject({ code: 'INVALID_INPUT' });
    expect(sourceFailure(own, AbortSignal.abort())).toMatchObject({
      code: 'ABORTED',
      message: 'the operation was aborted by its signal',
      cause: own,
    });
    const ours = new VramError('NOT_FOUND', 'ours');
    expect(sourceFailure(ours, AbortSignal.abort())).toBe(ours);
    digest.update = async () => {
      throw own;
    };
    expect(await failure(fill(chunks(clock, 100)))).toBe(own);
  });
});

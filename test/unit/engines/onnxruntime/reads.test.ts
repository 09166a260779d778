import { describe, expect, it, vi } from 'vitest';
import { ModelReads } from '../../../../src/engines/onnxruntime/model-reads.js';
import { sealOnnx } from '../../../../src/engines/onnxruntime/seal-onnx.js';
import type { VramManager } from '../../../../src/manager/index.js';
import { bytesSource, type Source, streamSource } from '../../../../src/source/index.js';
import { failure, pattern } from '../../manager/fixture.js';

const bytes = pattern(5000);
const never = new Promise<never>(() => undefined);
/** Never reached: what is read before a model is sealed is what hangs. */
const manager = { device: { backend: 'webgpu' } } as unknown as VramManager;

type Part = 'open' | 'readRange' | 'unchanged' | 'close';

/** A model's file, one part of which does not answer. */
function hanging(part: Part) {
  const asked = vi.fn((): Promise<never> => never);
  const source: Source = { ...bytesSource(bytes, 'm.onnx'), ...(part === 'open' ? {} : { [part]: asked }) };
  const open = part === 'open' ? asked : async () => source;
  return { asked, source, file: { label: 'm.onnx', byteLength: bytes.length, tensors: [], open } };
}

describe('what is read of a model before it is sealed', () => {
  it.each(['open', 'readRange', 'unchanged', 'close'] as const)(
    'ends with the signal while %s hangs',
    async (part) => {
      const { asked, file } = hanging(part);
      const aborting = new AbortController();
      const reading = failure(
        new ModelReads(aborting.signal).withFile(file, async ({ read }) => await read(0, 10)),
      );
      await vi.waitFor(() => expect(asked).toHaveBeenCalled());
      aborting.abort();
      expect(await reading).toMatchObject({ code: 'ABORTED' });
    },
  );

  it.each(['open', 'readRange', 'unchanged', 'close'] as const)(
    'is SOURCE_MISMATCH after 30 s of %s',
    async (part) => {
      vi.useFakeTimers();
      try {
        const { asked, file } = hanging(part);
        const reading = failure(
          new ModelReads(undefined).withFile(file, async ({ read }) => await read(0, 10)),
        );
        while (asked.mock.calls.length === 0) await Promise.resolve();
        await vi.advanceTimersByTimeAsync(30_000);
        const error = await reading;
        expect(error).toMatchObject({ code: 'SOURCE_MISMATCH' });
        if (part === 'open' || part === 'close') {
          expect(error.message).toBe(`the file "m.onnx" did not ${part} within 30000 ms`);
        }
      } finally {
        vi.useRealTimers();
      }
    },
  );

  it('cannot be a stream', async () => {
    const stream = streamSource([bytes], bytes.length, 'pipe');
    const refused = failure((async () => new ModelReads(undefined).access(stream))());
    expect(await refused).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'model',
      message: '"model" cannot be read at a position: "pipe" is a stream',
    });
  });

  it('closes a file that opens too late', async () => {
    let answer: (source: Source) => void = () => undefined;
    const opening = new Promise<Source>((resolve) => {
      answer = resolve;
    });
    const file = { label: 'm.onnx', byteLength: bytes.length, tensors: [], open: () => opening };
    const reads = new ModelReads(AbortSignal.abort());
    expect(await failure(reads.withFile(file, async () => undefined))).toMatchObject({ code: 'ABORTED' });
    const close = vi.fn(async () => undefined);
    answer({ ...bytesSource(bytes), close });
    await vi.waitFor(() => expect(close).toHaveBeenCalled());
  });

  it('is read so by sealOnnx, of a source and of a model', async () => {
    const { asked, source, file } = hanging('readRange');
    for (const model of [source, { shards: [file] }]) {
      asked.mockClear();
      const aborting = new AbortController();
      const sealing = failure(sealOnnx(manager, model, { signal: aborting.signal }));
      await vi.waitFor(() => expect(asked).toHaveBeenCalled());
      aborting.abort();
      expect(await sealing).toMatchObject({ code: 'ABORTED' });
    }
  });
});

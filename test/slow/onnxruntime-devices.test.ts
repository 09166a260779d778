import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gpuDeviceOf } from '../../src/device/index.js';
import type { Engine } from '../../src/engines/index.js';
import { bytesSource, isVramError } from '../../src/index.js';
import { createSession, run, type SealedOnnx, sealOnnx } from '../../src/onnxruntime.js';
import { quantizedBlock } from '../support/engine-models.js';
import { type EngineBench, engineBench, floats, ort } from '../support/onnxruntime.js';
import { prepareVulkan } from '../support/vulkan.js';

const { adapter } = await prepareVulkan();
const feeds = { x: floats([4, 128]) };

async function errorOf(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isVramError(error)) throw new Error('no VramError', { cause: error });
  return { code: error.code, message: error.message };
}

describe.skipIf(adapter === 'host')('an engine and two devices (skipped without a WebGPU adapter)', () => {
  let here: EngineBench;
  let there: EngineBench;
  let sealed: SealedOnnx;

  beforeAll(async () => {
    here = await engineBench();
    there = await engineBench();
    sealed = await sealOnnx(here.manager, bytesSource(quantizedBlock(), 'block.onnx'));
  }, 480_000);

  afterAll(async () => {
    await here?.close();
    await there?.close();
  });

  it("refuses another device than the manager's", async () => {
    expect((await errorOf(createSession(ort, sealed, { device: there.device }))).message).toMatch(
      /^"device" is not the one that holds the sealed weights/,
    );
  });

  it('refuses an engine that takes no device', async () => {
    const deaf: Engine<ort.Tensor> = {
      Tensor: ort.Tensor,
      InferenceSession: {
        create: async () => ({
          inputNames: [],
          outputNames: [],
          run: async () => ({}),
          release: async () => undefined,
        }),
      },
    };
    const error = await errorOf(createSession(deaf, sealed, { device: here.device }));
    expect(error.message).toMatch(/^"ort" did not take the device/);
  });

  it('ends with its device, and leaves the other one alone', { timeout: 480_000 }, async () => {
    const session = await createSession(ort, sealed, { device: here.device });
    expect((await run(session, feeds)).witness.tensors).toBe(9);
    const elsewhere = await sealOnnx(there.manager, bytesSource(quantizedBlock(), 'block.onnx'));
    const other = await createSession(ort, elsewhere, { device: there.device });
    gpuDeviceOf(here.device)?.destroy();
    await here.device.lost;
    expect((await errorOf(run(session, feeds))).code).toBe('DEVICE_LOST');
    expect((await errorOf(run(session, feeds, { maxAgeMs: 1e9 }))).code).toBe('DEVICE_LOST');
    expect((await run(other, feeds)).witness.tensors).toBe(9);
    await other.release();
  });
});

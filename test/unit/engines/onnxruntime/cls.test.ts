import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModel } from '../../../../src/index.js';
import {
  createSession,
  type OnnxSession,
  run,
  type SealedOnnx,
  sealOnnx,
} from '../../../../src/onnxruntime.js';
import { ocrModel, ocrModelPath } from '../../../support/ocr-models.js';
import {
  type EngineBench,
  engineBench,
  floats,
  onCpu,
  ort,
  relativeError,
  values,
} from '../../../support/onnxruntime.js';
import { prepareVulkan } from '../../../support/vulkan.js';

const { adapter } = await prepareVulkan();
const feeds = { x: floats([1, 3, 48, 64]) };

describe.skipIf(adapter === 'host')(
  'a published model over sealed weights (skipped without a WebGPU adapter)',
  () => {
    let bench: EngineBench;
    let sealed: SealedOnnx;
    let session: OnnxSession<ort.Tensor>;

    beforeAll(async () => {
      bench = await engineBench();
      sealed = await sealOnnx(bench.manager, await openModel(ocrModelPath('cls')));
      session = await createSession(ort, sealed, { device: bench.device, preferredLayout: 'NCHW' });
    }, 240_000);

    afterAll(async () => {
      await session?.release();
      await bench?.close();
    });

    it('gives what the plain model gives on the CPU, from all of its 183 sealed tensors, and again after drill and heal', {
      timeout: 480_000,
    }, async () => {
      const expected =
        Object.values(await onCpu(await ocrModel('cls'), feeds)).map(values)[0] ?? new Float32Array();
      const { outputs, witness } = await run(session, feeds);
      const output = values(Object.values(outputs)[0]);
      expect(relativeError(output, expected)).toBeLessThan(1e-5);
      expect(output.indexOf(Math.max(...output))).toBe(expected.indexOf(Math.max(...expected)));
      expect(witness).toMatchObject({
        readWrite: 0,
        unknown: 0,
        copies: 0,
        tensors: 183,
        sealedTensors: 183,
      });
      expect([sealed.movedBytes, sealed.stayingBytes]).toEqual([533_576, 1_084]);

      const { flips } = await bench.manager.drill(sealed.shard, { flips: 40, seed: 5 });
      const struck = new Set(flips.map(({ tensor }) => tensor));
      const error: unknown = await run(session, feeds).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
      const damaged = (error as { report: { damaged: { tensor?: string }[] } }).report.damaged;
      expect(new Set(damaged.map(({ tensor }) => tensor))).toEqual(struck);
      await bench.manager.heal(sealed.shard, sealed.source);
      expect(values(Object.values((await run(session, feeds)).outputs)[0])).toEqual(output);
    });
  },
);

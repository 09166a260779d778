import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gpuOperands } from '../../src/engines/onnxruntime/graph/index.js';
import { bytesSource } from '../../src/index.js';
import { createSession, run, sealOnnx } from '../../src/onnxruntime.js';
import { operatorModels } from '../support/engine-models.js';
import type { OnnxValue } from '../support/onnx-models.js';
import {
  type EngineBench,
  engineBench,
  type Feeds,
  floats,
  onCpu,
  ort,
  relativeError,
  values,
} from '../support/onnxruntime.js';
import { prepareVulkan } from '../support/vulkan.js';

const { adapter } = await prepareVulkan();
const OPERATORS = operatorModels();

/** Something for every input of a model of one operator. */
function feedsFor(inputs: readonly OnnxValue[]): Feeds {
  return Object.fromEntries(
    inputs.map(({ name, type, shape }, place) => {
      const sizes = shape.map(Number);
      const length = sizes.reduce((elements, size) => elements * size, 1);
      if (type === 'int32') {
        return [
          name,
          new ort.Tensor(
            'int32',
            Int32Array.from({ length }, (_, i) => (3 * i) % 16),
            sizes,
          ),
        ];
      }
      if (type === 'int64') {
        return [
          name,
          new ort.Tensor(
            'int64',
            BigInt64Array.from({ length }, (_, i) => BigInt(i)),
            sizes,
          ),
        ];
      }
      // No number is zero: one of the operators divides by them.
      return [name, floats(sizes, place + 0.5)];
    }),
  );
}

describe.skipIf(adapter === 'host')(
  'operators over sealed weights (skipped without a WebGPU adapter)',
  () => {
    let bench: EngineBench;

    beforeAll(async () => {
      bench = await engineBench();
    }, 240_000);

    afterAll(async () => {
      await bench?.close();
    });

    it('has a test for every operand that is taken to be read from GPU memory', () => {
      const tested = OPERATORS.flatMap(({ operator, weightInputs }) =>
        weightInputs.map((input) => `${operator} ${input}`),
      );
      expect([...new Set(tested)].sort()).toEqual(
        gpuOperands()
          .map(({ operator, input }) => `${operator} ${input}`)
          .sort(),
      );
    });

    it.each(OPERATORS)(
      'reads the weights of $operator (inputs $weightInputs) from sealed memory',
      {
        timeout: 240_000,
      },
      async ({ operator, model, inputs, weightInputs }) => {
        const feeds = feedsFor(inputs);
        const sealed = await sealOnnx(bench.manager, bytesSource(model, `${operator}.onnx`));
        expect(sealed.moved).toHaveLength(weightInputs.length);
        const session = await createSession(ort, sealed, { device: bench.device });
        const { outputs, witness } = await run(session, feeds);
        expect(relativeError(values(outputs['y']), values((await onCpu(model, feeds))['y']))).toBeLessThan(
          1e-5,
        );
        expect(witness).toMatchObject({ tensors: weightInputs.length, copies: 0, readWrite: 0, unknown: 0 });
        await session.release();
        await bench.manager.release(sealed.shard);
        await sealed.source.close();
      },
    );
  },
);

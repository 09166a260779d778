import { describe, expect, it } from 'vitest';
import { gpuOperands, planGraph } from '../../../../src/engines/onnxruntime/graph/index.js';
import { bytesAccess } from '../../../../src/models/random-access.js';
import { onnxModel, randomWeights } from '../../../support/onnx-models.js';
import { failure } from '../../manager/fixture.js';

const INPUTS = [0, 1, 2, 3, 4, 5];

/** Which inputs of one node with that operator move to the device, where all of them are large weights. */
async function moving(op: string, domain: string): Promise<number[]> {
  const file = onnxModel({
    inputs: [],
    outputs: [{ name: 'y', type: 'float', shape: [16] }],
    nodes: [{ op, domain, inputs: INPUTS.map((input) => `w${input}`), outputs: ['y'] }],
    weights: INPUTS.map((input) => randomWeights(`w${input}`, [16, 16], input)),
  });
  const plan = await planGraph(bytesAccess(file));
  return plan.moving.map(({ name }) => Number(name.slice(1)));
}

// What the slow test of operands found on WebGPU: a change here has to run that test again.
describe('[EN-003] weights that move, by the operator that reads them', () => {
  it.each<[operator: string, domain: string, inputs: readonly number[]]>([
    ['Add', '', [0, 1]],
    ['BatchNormalization', '', [1, 2, 3, 4]],
    ['Conv', '', [1, 2]],
    ['ConvTranspose', '', [1, 2]],
    ['Div', '', [0, 1]],
    ['Gather', '', [0]],
    ['Gemm', '', [0, 1, 2]],
    ['InstanceNormalization', '', [1, 2]],
    ['LayerNormalization', '', [1, 2]],
    ['MatMul', '', [0, 1]],
    ['Mul', '', [0, 1]],
    ['Sub', '', [0, 1]],
    ['SimplifiedLayerNormalization', '', [1]],
    ['FusedConv', 'com.microsoft', [1, 2]],
    ['MatMulNBits', 'com.microsoft', [1, 2, 3]],
    ['RotaryEmbedding', 'com.microsoft', [2, 3]],
    ['SkipLayerNormalization', 'com.microsoft', [2, 3, 4]],
    ['SkipSimplifiedLayerNormalization', 'com.microsoft', [2, 3]],
  ])('%s of "%s": %j', async (operator, domain, inputs) => {
    expect(await moving(operator, domain)).toEqual(inputs);
    const name = domain === '' ? operator : `${domain}.${operator}`;
    const listed = gpuOperands().filter((use) => use.operator === name);
    expect(listed.map(({ input }) => input)).toEqual(inputs);
  });

  // Read on the CPU, handed on as a copy, unknown, or of another domain.
  it.each([
    ['Reshape', ''],
    ['Resize', ''],
    ['NoSuchOperator', ''],
    ['MatMul', 'com.microsoft'],
    ['MatMulNBits', ''],
  ])('none of %s of "%s"', async (operator, domain) => {
    const name = domain === '' ? operator : `${domain}.${operator}`;
    expect(await failure(moving(operator, domain))).toMatchObject({
      code: 'INVALID_INPUT',
      message: expect.stringContaining(
        `is read by ${name} as input 0, which is not known to be read from GPU memory`,
      ),
    });
    expect(gpuOperands().filter((use) => use.operator === name)).toEqual([]);
  });
});

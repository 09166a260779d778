import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ExecutionEvent, TensorData } from '../../../src/api-schema/index.js';
import type { Device } from '../../../src/device/index.js';
import { openDevice } from '../../../src/onnxruntime.js';
import { OnnxHost } from '../../../src/worker/onnx/index.js';
import { floatWeights, onnxModel } from '../../support/onnx-models.js';
import { prepareVulkan } from '../../support/vulkan.js';
import { type Rig, rig } from './fixture.js';

const { adapter } = await prepareVulkan();
const SIZE = 64;

describe.skipIf(adapter === 'host')('onnx executions (skipped without a WebGPU adapter)', () => {
  let device: Device;
  let made: Rig;

  beforeAll(async () => {
    device = await openDevice({ drills: true });
    made = await rig({ onnx: await OnnxHost.open(device) }, { device, drills: true });
    const model = onnxModel({
      inputs: [{ name: 'x', type: 'float', shape: [1, SIZE] }],
      outputs: [{ name: 'y', type: 'float', shape: [1, SIZE] }],
      nodes: [{ op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }],
      // The unit matrix, twice over.
      weights: [
        floatWeights(
          'w',
          [SIZE, SIZE],
          Array.from({ length: SIZE * SIZE }, (_, at) => (at % (SIZE + 1) === 0 ? 2 : 0)),
        ),
      ],
    });
    await writeFile(join(made.root, 'm.onnx'), model);
    await made.worker.commit({ name: 'm', path: join(made.root, 'm.onnx'), layout: 'tensors' });
    await made.settled('m');
  }, 120_000);
  afterAll(async () => {
    await made[Symbol.asyncDispose]();
    await device.close();
  });

  const values = Float32Array.from({ length: SIZE }, (_, at) => at);
  const x: TensorData = {
    type: 'float32',
    dims: [1, SIZE],
    data: Buffer.from(values.buffer).toString('base64'),
  };
  let count = 0;
  async function execute(inputs: Record<string, TensorData>, maxAgeMs?: number): Promise<ExecutionEvent[]> {
    const { executions } = made.worker;
    const { executionId } = executions.submit({
      mode: 'onnx',
      executionId: `e${++count}`,
      model: 'm',
      inputs,
      maxAgeMs,
    });
    const seen: ExecutionEvent[] = [];
    const { events } = executions.get(executionId);
    for await (const event of events.follow(0, AbortSignal.timeout(30_000))) seen.push(event);
    return seen;
  }

  it('compute on the sealed buffers, and the witness says so', async () => {
    expect(made.worker.model('m')).toMatchObject({
      state: 'ready',
      layout: 'tensors',
      shards: [{ label: 'm.onnx' }],
    });
    const events = await execute({ x });
    expect(events.map(({ type }) => type)).toEqual(['started', 'output', 'metrics', 'end']);
    const [, output, , end] = events;
    if (output?.type !== 'output' || !('name' in output.data)) throw new Error('no tensor');
    const { data, ...about } = output.data;
    expect(about).toEqual({ name: 'y', type: 'float32', dims: [1, SIZE], offset: 0, byteLength: 4 * SIZE });
    const bytes = Uint8Array.from(Buffer.from(data, 'base64'));
    expect([...new Float32Array(bytes.buffer)]).toEqual([...values].map((value) => 2 * value));
    expect(end).toMatchObject({
      type: 'end',
      data: {
        weights: 'sealed',
        verified: [{ fsverity: made.worker.model('m').shards[0]?.fsverity }],
        witness: { sealedTensors: 1, tensors: 1, readWrite: 0, copies: 0 },
      },
    });
    expect((await execute({ x }, 60_000)).at(-1)).toMatchObject({ type: 'end', data: { verified: [] } });
  });

  it('refuse inputs that the model does not take, before they are queued', async () => {
    await expect(execute({})).rejects.toThrow('lacks "x"');
    await expect(execute({ x, w: x })).rejects.toThrow('is not an input of the model');
    await expect(execute({ x: { ...x, dims: [2, SIZE] } })).rejects.toThrow('has 256 bytes of data');
    await expect(execute({ x: { ...x, data: 'é' } })).rejects.toThrow('base64');
    const other = await execute({ x: { ...x, dims: [SIZE, 1] } });
    expect(other.at(-1)).toMatchObject({ type: 'error', data: { code: 'INVALID_INPUT' } });
  });

  it('give no output over damaged weights, and the same one once they are healed', async () => {
    await made.worker.drill('m', { seed: 1 });
    expect((await execute({ x })).map(({ data }) => data)).toMatchObject([{ code: 'INTEGRITY_VIOLATION' }]);
    expect((await made.worker.heal('m')).ok).toBe(true);
    expect((await execute({ x })).at(-1)?.type).toBe('end');
  });

  it('need the layout of tensors', async () => {
    await writeFile(join(made.root, 'raw.bin'), Buffer.alloc(4_096, 1));
    await made.worker.commit({ name: 'raw', path: join(made.root, 'raw.bin') });
    await made.settled('raw');
    const request = { mode: 'onnx', executionId: 'raw', model: 'raw', inputs: {} } as const;
    expect(() => made.worker.executions.submit(request)).toThrow('layout "tensors"');
    const commit = { name: 'raw2', path: join(made.root, 'raw.bin'), layout: 'tensors' } as const;
    await expect(made.worker.commit(commit)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  });

  it('of a model that is released leave nothing behind', async () => {
    await made.worker.remove('m');
    expect((await made.manager.capacity()).usedBytes).toBeLessThan(1_000_000);
    await expect(execute({ x })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

import { execFile } from 'node:child_process';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OnnxNode, type OnnxWeights, onnxModel } from '../support/onnx-models.js';
import { prepareVulkan } from '../support/vulkan.js';

const MIB = 2 ** 20;
const WIDTH = 4096;
const TENSOR_BYTES = 4 * WIDTH * WIDTH;
const TENSORS = 4;
/** The external file has more than 2 GiB, the last tensor at its end; what lies between tensors takes no disk. */
const FILE_BYTES = 2368 * MIB;
const LIMIT = 96 * MIB;
const child = fileURLToPath(new URL('onnxruntime-memory-child.mjs', import.meta.url));
const { adapter } = await prepareVulkan();

function chain(
  tensors: number,
  offsetOf: (index: number) => number,
  path: string,
  width: number,
): Uint8Array {
  const indices = Array.from({ length: tensors }, (_, index) => index);
  const weights = indices.map<OnnxWeights>((index) => ({
    name: `w${index}`,
    type: 'float',
    shape: [width, width],
    bytes: new Uint8Array(),
    external: { path, offset: offsetOf(index), byteLength: 4 * width * width },
  }));
  const nodes = indices.map<OnnxNode>((index) => ({
    op: 'MatMul',
    inputs: [index === 0 ? 'x' : `m${index}`, `w${index}`],
    outputs: [index === tensors - 1 ? 'y' : `m${index + 1}`],
  }));
  return onnxModel({
    inputs: [{ name: 'x', type: 'float', shape: [1, width] }],
    outputs: [{ name: 'y', type: 'float', shape: [1, width] }],
    nodes,
    weights,
  });
}

describe.skipIf(adapter === 'host')(
  'host memory that sealOnnx takes (skipped without a WebGPU adapter)',
  () => {
    let folder = '';

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'vram-external-'));
      const stride = (FILE_BYTES - TENSOR_BYTES) / (TENSORS - 1);
      await writeFile(
        join(folder, 'large.onnx'),
        chain(TENSORS, (index) => index * stride, 'large.bin', WIDTH),
      );
      const file = await open(join(folder, 'large.bin'), 'w');
      const block = new Uint8Array(4 * MIB).map((_, index) => index * 31);
      for (let index = 0; index < TENSORS; index++) {
        for (let at = 0; at < TENSOR_BYTES; at += block.length) {
          await file.write(block, 0, block.length, index * stride + at);
        }
      }
      await file.close();
      await writeFile(
        join(folder, 'small.onnx'),
        chain(1, () => 0, 'small.bin', 64),
      );
      await writeFile(join(folder, 'small.bin'), new Uint8Array(4 * 64 * 64));
    }, 120_000);

    afterAll(() => rm(folder, { recursive: true }));

    it('stays under 96 MiB beside the shard, for 256 MiB of weights in an external file of more than 2 GiB', async () => {
      const files = [join(folder, 'small.onnx'), join(folder, 'large.onnx')];
      const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', child, ...files]);
      console.log(stdout.trim());
      const result: unknown = JSON.parse(stdout);
      expect(result).toMatchObject({
        movedBytes: TENSORS * TENSOR_BYTES,
        stayingBytes: 0,
        verified: true,
      });
      const { overheadBytes, graphBytes } = Object(result);
      expect(overheadBytes).toBeLessThan(LIMIT);
      expect(graphBytes).toBeLessThan(4096);
    }, 1_200_000);
  },
);

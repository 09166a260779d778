import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { hostBackend } from '../../src/device/host/index.js';
import type { Backend } from '../../src/device/index.js';
import { VramManager } from '../../src/manager/index.js';
import { tensorSource } from '../../src/models/index.js';
import { openModel } from '../../src/node/files/index.js';
import { safetensorsFile } from '../fuzz/build.mjs';
import { cudaTestbed } from '../support/cuda.js';
import { platform } from '../unit/manager/fixture.js';

/** A mixture of 896 experts a layer, in 92 layers: weights and scales of three projections. */
const TENSORS = 494_592;
const FILES = 16;
const BLOCK = 4096;
const GIB = 2 ** 30;

const bed = await cudaTestbed();
const skipped = bed.missing === null ? '' : ` (SKIPPED: ${bed.missing})`;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'many-tensors-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A model of small tensors in several files, with an index. */
function writeModel(): string {
  const model = mkdtempSync(join(folder, 'model-'));
  const perFile = TENSORS / FILES;
  const members: string[] = [];
  for (let file = 0; file < FILES; file++) {
    const name = `model-${file}.safetensors`;
    const header: Record<string, unknown> = {};
    for (let at = 0; at < perFile; at++) {
      const tensor = `model.layers.${file}.experts.${at}.weight`;
      header[tensor] = { dtype: 'U8', shape: [1], data_offsets: [at, at + 1] };
      members.push(`${JSON.stringify(tensor)}:${JSON.stringify(name)}`);
    }
    writeFileSync(join(model, name), safetensorsFile(header, new Uint8Array(perFile).fill(file + 1)));
  }
  writeFileSync(join(model, 'model.safetensors.index.json'), `{"weight_map":{${members.join(',')}}}`);
  return model;
}

/**
 * Seals, verifies, damages one bit, and finds it by the name of its tensor, in less than 1 GiB of memory beside the shard.
 */
async function sealMany(device: string, backend: Backend): Promise<void> {
  const source = tensorSource(await openModel(writeModel()));
  const manager = await VramManager.open(
    { workerId: 'many', policy: 'any', device, drills: true },
    platform([backend]),
  );
  try {
    expect(source.manifest.tensors).toHaveLength(TENSORS);
    expect(source.byteLength).toBe(TENSORS * BLOCK);
    const shard = await manager.seal(source);
    expect((await manager.verify(shard)).verified).toBe(true);
    const { flips } = await manager.drill(shard, { seed: 3, area: 'data' });
    const [flip] = flips;
    const expected = source.manifest.tensors[Math.floor((flip?.byte ?? 0) / BLOCK)]?.name;
    await expect(manager.verify(shard, { source })).rejects.toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      report: { damaged: [expect.objectContaining({ tensor: expected, blocks: 1 })] },
    });
    const beside = process.resourceUsage().maxRSS * 1024 - source.byteLength;
    console.log(
      `${TENSORS} tensors on ${device}: ${(beside / 2 ** 20).toFixed(0)} MiB beside the shard at most`,
    );
    expect(beside).toBeLessThan(GIB);
  } finally {
    await source.close();
    await manager.close();
  }
}

it.skipIf(bed.missing !== null)(
  `494,592 tensors are packed, sealed and verified on the emulated CUDA driver, in one mapping and under 1 GiB beside ` +
    `it${skipped}`,
  async () => {
    if (bed.missing !== null) return;
    bed.emulator.reset({ devices: [{}] });
    await sealMany('cuda:0', bed.backend());
  },
  1_800_000,
);

it('494,592 tensors are packed, sealed and verified on the host device, with under 1 GiB beside them', async () => {
  await sealMany('host', hostBackend());
}, 900_000);

it.skipIf(bed.missing !== null)(
  `494,592 tensors are one mapping of the emulated CUDA driver, filled, read and given back${skipped}`,
  async () => {
    if (bed.missing !== null) return;
    bed.emulator.reset({ devices: [{}] });
    const device = await bed.backend().open(0);
    const before = bed.emulator.allocations().length;
    const cuts = Array.from({ length: TENSORS }, (_, index) => index * BLOCK);
    const region = await device.allocate(TENSORS * BLOCK, { cuts });
    expect(bed.emulator.allocations()).toHaveLength(before + 1);
    const last = Uint8Array.from({ length: BLOCK + 1 }, (_, index) => index * 31);
    const at = TENSORS * BLOCK - last.length;
    await region.write(at, last);
    expect(await region.freeze()).toBe('mmu-readonly');
    expect(await region.read(at, last.length)).toEqual(last);
    await region.release();
    expect(device.stats().liveRegions).toBe(0);
    await device.close();
  },
  300_000,
);

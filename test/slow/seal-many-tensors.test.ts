import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { VramManager } from '../../src/index.js';
import { tensorSource } from '../../src/models/index.js';
import { openModel } from '../../src/node/files/index.js';
import { safetensorsFile } from '../fuzz/build.mjs';

/** A mixture of 896 experts a layer, in 92 layers: weights and scales of three projections. */
const TENSORS = 494_592;
const FILES = 16;
const PER_FILE = TENSORS / FILES;
const BLOCK = 4096;
const GIB = 2 ** 30;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'many-tensors-'));
  const members: string[] = [];
  for (let file = 0; file < FILES; file++) {
    const name = `model-${file}.safetensors`;
    const header: Record<string, unknown> = {};
    for (let at = 0; at < PER_FILE; at++) {
      const tensor = `model.layers.${file}.experts.${at}.weight`;
      header[tensor] = { dtype: 'U8', shape: [1], data_offsets: [at, at + 1] };
      members.push(`${JSON.stringify(tensor)}:${JSON.stringify(name)}`);
    }
    writeFileSync(join(folder, name), safetensorsFile(header, new Uint8Array(PER_FILE).fill(file + 1)));
  }
  writeFileSync(join(folder, 'model.safetensors.index.json'), `{"weight_map":{${members.join(',')}}}`);
});
afterAll(() => rmSync(folder, { recursive: true }));

it('494,592 tensors are packed, sealed and verified on the host device, in one mapping and under 1 GiB beside it', async () => {
  const model = await openModel(folder);
  const manager = await VramManager.open({ workerId: 'many', policy: 'any', device: 'host', drills: true });
  const source = tensorSource(model);
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
    console.log(`peak memory beside the shard: ${(beside / 2 ** 20).toFixed(0)} MiB`);
    expect(beside).toBeLessThan(GIB);
  } finally {
    await source.close();
    await manager.close();
  }
}, 900_000);

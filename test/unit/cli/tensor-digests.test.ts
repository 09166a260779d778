import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { shardManifest, tensorShards } from '../../../src/cli/model-list.js';
import { digestShard } from '../../../src/cli/tensor-digests.js';
import { createPortableEngine } from '../../../src/digest/index.js';
import type { DigestEngine } from '../../../src/digest/types.js';
import type { TensorEntry } from '../../../src/models/tensors.js';
import { createNodeEngine } from '../../../src/node/digest/index.js';
import { bytesSource } from '../../../src/source/index.js';
import { safetensorsFile } from '../../fuzz/build.mjs';
import { fsverityOf } from '../../support/fsverity.js';
import { xorshiftBytes } from '../../support/xorshift.js';

const MIB = 1024 * 1024;
const folder = mkdtempSync(join(tmpdir(), 'vram-shards-'));
const engines: readonly DigestEngine[] = [createNodeEngine('native'), createPortableEngine('wasm')];
const { signal } = new AbortController();

afterAll(async () => {
  for (const engine of engines) await engine.close();
  rmSync(folder, { recursive: true, force: true });
});

const entry = (name: string, byteOffset: number, byteLength: number): TensorEntry => ({
  name,
  dtype: 'U8',
  shape: [byteLength],
  byteOffset,
  byteLength,
  encoding: 'raw',
});

describe.each(engines.map((engine) => [engine.name, engine] as const))(
  'digestShard with %s',
  (_name, engine) => {
    it('reads the file once, and hashes gaps into the file alone', async () => {
      const bytes = xorshiftBytes(9, 12 * MIB);
      const tensors = [
        entry('small', 100, 5000),
        entry('large', MIB + 7, 9 * MIB),
        entry('end', 12 * MIB - 1, 1),
        entry('empty', 12 * MIB, 0),
      ];
      let streams = 0;
      const source = bytesSource(bytes);
      const counted = {
        ...source,
        byteLength: bytes.length,
        label: 'x',
        stream: (options: Parameters<typeof source.stream>[0]) => {
          streams += 1;
          return source.stream(options);
        },
        unchanged: () => source.unchanged(),
        close: () => source.close(),
      };
      const result = await digestShard(counted, tensors, engine, signal);
      expect(streams).toBe(1);
      expect(result.file.fsverity).toBe(await fsverityOf(bytes));
      expect(result.tensors).toEqual(
        await Promise.all(
          tensors.map(({ byteOffset, byteLength }) =>
            fsverityOf(bytes.subarray(byteOffset, byteOffset + byteLength)),
          ),
        ),
      );
    });

    it('a file that is another than the one whose index was read is refused', async () => {
      const path = join(folder, `changed-${engine.name}.safetensors`);
      const header = { a: { dtype: 'U8', shape: [4], data_offsets: [0, 4] } };
      writeFileSync(path, safetensorsFile(header, 4));
      const [shard] = await tensorShards(path);
      if (shard === undefined) throw new Error('no shard');
      writeFileSync(path, safetensorsFile(header, Uint8Array.of(1, 2, 3, 4)));
      await expect(shardManifest(shard, engine, signal)).rejects.toMatchObject({ code: 'SOURCE_MISMATCH' });
    });
  },
);

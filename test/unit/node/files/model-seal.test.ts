import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { VramManager } from '../../../../src/index.js';
import { parseExpected } from '../../../../src/models/expected.js';
import { findTensor, tensorRange } from '../../../../src/models/tensors.js';
import { loadExpected } from '../../../../src/node/files/expected-file.js';
import { openModel, openShard } from '../../../../src/node/files/model-files.js';
import type { ModelShard } from '../../../../src/node/files/model-types.js';
import type { HostileCase } from '../../../fuzz/hostile/case.js';
import { GGUF_CASES } from '../../../fuzz/hostile/gguf.js';
import { ONNX_CASES } from '../../../fuzz/hostile/onnx.js';
import { SAFETENSORS_CASES } from '../../../fuzz/hostile/safetensors.js';
import { SHARDED_CASES } from '../../../fuzz/hostile/sharded.js';
import { FIXTURE_FILES, fixtures } from '../../../support/fixtures.js';

const folder = fixtures();
const open = (): Promise<VramManager> => VramManager.open({ device: 'host', policy: 'any', workerId: 'w' });
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const shardsOf = async (format: keyof typeof FIXTURE_FILES): Promise<readonly ModelShard[]> =>
  (await openModel(join(folder, 'silero', FIXTURE_FILES[format]))).shards;

describe('hostile models', () => {
  const cases: [string, readonly HostileCase[]][] = [
    ['x.safetensors', SAFETENSORS_CASES],
    ['x.safetensors.index.json', SHARDED_CASES],
    ['x.gguf', GGUF_CASES],
    ['x.onnx', ONNX_CASES],
  ];

  it.each(cases)('are refused before anything is allocated on a device: %s', async (name, hostile) => {
    const directory = mkdtempSync(join(tmpdir(), 'hostile-'));
    let allocations = 0;
    const manager = await VramManager.open({
      device: 'host',
      policy: 'any',
      workerId: 'w',
      observers: [
        {
          name: 'allocations',
          required: false,
          on: ({ type }) => {
            if (type === 'vram.allocated' || type === 'vram.allocation_failed') allocations += 1;
          },
        },
      ],
    });
    const sealAll = async (path: string): Promise<void> => {
      for (const shard of (await openModel(path)).shards) {
        const source = await openShard(shard);
        await manager.seal(source);
        await source.close();
      }
    };
    try {
      for (const { bytes, message } of hostile) {
        writeFileSync(join(directory, name), bytes);
        await expect(sealAll(join(directory, name))).rejects.toThrow(`"${name}" ${message}`);
      }
      expect(allocations).toBe(0);
      // The same way counts when there is something to seal.
      await sealAll(join(folder, 'silero', FIXTURE_FILES.single));
      expect(allocations).toBe(1);
    } finally {
      await manager.close();
      rmSync(directory, { recursive: true });
    }
  });
});

describe('sealing models', () => {
  it('seals every shard of a sharded model against a SHA256SUMS list and verifies each', async () => {
    const shards = await shardsOf('sharded');
    const lines = await Promise.all(
      shards.map(async ({ path, label }) => `${sha256(await readFile(path))}  ${label}\n`),
    );
    const expected = parseExpected(lines.join('')).forAll(shards.map(({ label }) => label));
    const manager = await open();
    for (const [shardIndex, shard] of shards.entries()) {
      const source = await openShard(shard);
      const sealed = await manager.seal(source, {
        modelRef: 'silero',
        shardIndex,
        totalShards: shards.length,
        expected: expected[shardIndex]?.digest ?? '',
        reopen: () => openShard(shard),
      });
      await source.close();
      expect(sealed.byteLength).toBe(shard.byteLength);
      expect((await manager.verify(sealed)).verified).toBe(true);
    }
    await manager.close();
  });

  it('leases one tensor by name: its bytes are those of the same tensor in every format', async () => {
    const name = 'If_0_outputs_0.then_branch/If_0_then_branch__Inline_0__decoder.rnn.weight_ih';
    const digests = new Set<string>();
    for (const format of ['onnx', 'external', 'single', 'sharded', 'gguf', 'gguf2'] as const) {
      const { shard, tensor } = findTensor({ shards: await shardsOf(format) }, name);
      const manager = await open();
      const source = await openShard(shard);
      const sealed = await manager.seal(source);
      await source.close();
      const run = await manager.execute(
        sealed,
        async (lease) => {
          if (lease.kind !== 'host') throw new Error('not on the host');
          return sha256(await lease.read(0, lease.byteLength));
        },
        { tensor: tensorRange(tensor) },
      );
      digests.add(run);
      await manager.close();
    }
    expect(digests.size).toBe(1);
  });

  it('[CI-009] seals nothing when the digest is another, in any form', async () => {
    const [shard] = await shardsOf('single');
    if (shard === undefined) throw new Error('no shard');
    const manager = await open();
    const wrong = sha256(new Uint8Array(1));
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${wrong}\nsize ${shard.byteLength}\n`;
    for (const text of [
      `sha256:${wrong}`,
      `fsverity-sha256-12:${wrong}`,
      `sha256-${Buffer.from(wrong, 'hex').toString('base64')}`,
      `${wrong}  ${shard.label}\n`,
      pointer,
    ]) {
      const source = await openShard(shard);
      const { digest } = parseExpected(text).for(shard.label);
      await expect(manager.seal(source, { expected: digest })).rejects.toMatchObject({
        code: 'SOURCE_MISMATCH',
      });
      await source.close();
    }
    expect((await manager.capacity()).usedBytes).toBe(0);
    const right = await loadExpected(
      `sha256-${createHash('sha256')
        .update(await readFile(shard.path))
        .digest('base64')}`,
    );
    const source = await openShard(shard);
    await manager.seal(source, { expected: right.for(shard.label).digest });
    await source.close();
    await manager.close();
  });
});

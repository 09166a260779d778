import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VramManager } from '../../src/index.js';
import { findTensor, tensorRange } from '../../src/models/tensors.js';
import { openModel, openShard } from '../../src/node/files/model-files.js';
import { safetensorsFile } from '../fuzz/build.mjs';

const GIB = 2 ** 30;
const BLOCK = 4096;
const MARK = new TextEncoder().encode('a mark that is not zero');
const FIRST_BYTES = 4 * GIB + 5;
const SECOND_BYTES = 2 * GIB - 5 - BLOCK;
const enoughMemory = freemem() > 8 * GIB;

/** Where the file is not zero besides its header: around 4 GiB, where 32 bits end, and at its end. */
function marks(dataStart: number, fileEnd: number): number[] {
  return [dataStart, 4 * GIB - 7, dataStart + FIRST_BYTES, 5 * GIB, fileEnd - MARK.length];
}

/** The fs-verity digest of a sparse file: only blocks that are not all zero are read from `parts`. */
function sparseFsverity(byteLength: number, parts: readonly { offset: number; bytes: Uint8Array }[]): string {
  const sha = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest();
  const blocks = new Map<number, Uint8Array>();
  for (const { offset, bytes } of parts) {
    for (const [i, byte] of bytes.entries()) {
      const block = Math.floor((offset + i) / BLOCK);
      const content = blocks.get(block) ?? new Uint8Array(BLOCK);
      content[(offset + i) % BLOCK] = byte;
      blocks.set(block, content);
    }
  }
  let level = Buffer.alloc(Math.ceil(byteLength / BLOCK) * 32, sha(new Uint8Array(BLOCK)));
  for (const [block, content] of blocks) level.set(sha(content), block * 32);
  while (level.length > 32) {
    const hashes: Uint8Array[] = [];
    for (let at = 0; at < level.length; at += BLOCK) {
      const node = Buffer.alloc(BLOCK);
      level.copy(node, 0, at, at + BLOCK);
      hashes.push(sha(node));
    }
    level = Buffer.concat(hashes);
  }
  const descriptor = Buffer.alloc(256);
  descriptor.set([1, 1, 12, 0]);
  descriptor.writeBigUInt64LE(BigInt(byteLength), 8);
  descriptor.set(level, 16);
  return `fsverity-sha256-12:${Buffer.from(sha(descriptor)).toString('hex')}`;
}

describe('a model file of 6 GiB', () => {
  let folder = '';
  let path = '';
  let byteLength = 0;
  const parts: { offset: number; bytes: Uint8Array }[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vram-big-'));
    path = join(folder, 'big.safetensors');
    const entry = (begin: number, length: number): object => ({
      dtype: 'U8',
      shape: [length],
      data_offsets: [begin, begin + length],
    });
    const header = safetensorsFile({
      first: entry(0, FIRST_BYTES),
      second: entry(FIRST_BYTES, SECOND_BYTES),
    });
    byteLength = header.length + FIRST_BYTES + SECOND_BYTES;
    parts.push({ offset: 0, bytes: header });
    for (const offset of marks(header.length, byteLength)) parts.push({ offset, bytes: MARK });
    const handle = await open(path, 'w');
    await handle.truncate(byteLength);
    for (const { offset, bytes } of parts) await handle.write(bytes, 0, bytes.length, offset);
    await handle.close();
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('has its tensors behind 4 GiB found without reading it', async () => {
    const model = await openModel(path);
    const { shard, tensor } = findTensor(model, 'second');
    expect(tensor.byteOffset).toBeGreaterThan(4 * GIB);
    expect(shard.byteLength).toBe(byteLength);
    const source = await openShard(shard);
    const range = tensorRange(tensor, 0, MARK.length);
    expect(await source.readRange?.(range.byteOffset, range.byteLength)).toEqual(MARK);
    await source.close();
  });

  it.skipIf(!enoughMemory)(
    'is sealed and verified on the host backend, its digests those of node:crypto (skipped under 8 GiB of free memory)',
    async () => {
      const { shards } = await openModel(path);
      const [shard] = shards;
      if (shard === undefined) throw new Error('no shard');
      const flat = createHash('sha256');
      for await (const chunk of createReadStream(path, { highWaterMark: 8 * 2 ** 20 })) flat.update(chunk);
      const expected = { sha256: flat.digest('hex'), fsverity: sparseFsverity(byteLength, parts) };

      const manager = await VramManager.open({ device: 'host', policy: 'any', workerId: 'big' });
      const source = await openShard(shard);
      const started = performance.now();
      let reported = 0;
      const sealed = await manager.seal(source, {
        expected: [`sha256:${expected.sha256}`, expected.fsverity],
        onProgress: ({ phase, bytes }) => {
          if (phase === 'load') reported = bytes;
        },
      });
      const sealedAt = performance.now();
      expect(reported).toBe(byteLength);
      expect({ sha256: sealed.sha256, fsverity: sealed.fsverity }).toEqual(expected);
      expect((await manager.verify(sealed)).verified).toBe(true);
      const verifiedAt = performance.now();
      const { tensor } = findTensor({ shards }, 'second');
      const last = tensorRange(tensor, SECOND_BYTES - MARK.length);
      const read = await manager.execute(
        sealed,
        async (lease) => (lease.kind === 'host' ? await lease.read(0, lease.byteLength) : null),
        { tensor: last },
      );
      expect(read).toEqual(MARK);
      await manager.close();
      await source.close();
      console.log(
        `host: ${byteLength} bytes sealed in ${((sealedAt - started) / 1000).toFixed(1)} s, verified in ` +
          `${((verifiedAt - sealedAt) / 1000).toFixed(1)} s`,
      );
    },
    1_800_000,
  );
});

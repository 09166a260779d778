import { createHash } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPortableEngine, type DigestEngine } from '../../digest/index.js';
import { fileSource } from '../../node/index.js';
import { bytesSource } from '../../source/index.js';
import { measurePair, type Pair } from './measure.js';
import { programPairs } from './programs.js';
import { type BenchSetting, openManager, randomBytes } from './setting.js';
import { leavesAgainstNode, setAgainstOneByOne } from './small.js';

const MIB = 1024 * 1024;
const CHUNK = MIB;

/** All pairs, one after another. */
export async function benchPairs(setting: BenchSetting): Promise<Pair[]> {
  const pairs: Pair[] = [];
  const report = (pair: Pair): void => {
    pairs.push(pair);
    setting.onPair(pair);
  };
  const leaves = await leavesAgainstNode(setting);
  if (leaves !== null) report(leaves);
  report(await verifyAgainstReadback(setting));
  report(await setAgainstOneByOne(setting));
  const folder = await mkdtemp(join(tmpdir(), 'vram-bench-'));
  try {
    const file = await writeRandomFile(join(folder, 'weights.bin'), setting.fileBytes);
    for (const digests of [['fsverity', 'sha256'], ['fsverity']] as const)
      report(await sealAgainstFlatHash(setting, file, digests));
    for await (const pair of programPairs(setting, file)) report(pair);
  } finally {
    await rm(folder, { recursive: true });
  }
  for (const pair of await wasmAgainstHashWasm(setting)) report(pair);
  return pairs;
}

async function verifyAgainstReadback(setting: BenchSetting): Promise<Pair> {
  const manager = await openManager(setting);
  try {
    const size = `${setting.deviceBytes / MIB} MiB`;
    const shard = await manager.seal(bytesSource(randomBytes(setting.deviceBytes)));
    return await measurePair(
      'verify',
      { name: `verify ${size} in place`, run: () => manager.verify(shard) },
      { name: 'read back and node:crypto', run: () => manager.verify(shard, { mode: 'readback' }) },
      setting.rounds,
      setting.signal,
    );
  } finally {
    await manager.close();
  }
}

async function sealAgainstFlatHash(
  setting: BenchSetting,
  file: string,
  digests: readonly ('fsverity' | 'sha256')[],
): Promise<Pair> {
  const both = digests.length === 2;
  const manager = await openManager(setting);
  try {
    return await measurePair(
      both ? 'seal' : 'seal-fsverity',
      {
        name: `seal a ${setting.fileBytes / MIB} MiB file (${both ? 'both digests' : 'fsverity'}, device tree, signature)`,
        run: async () => {
          const source = await fileSource(file);
          const shard = await manager.seal(source, { digests });
          await source.close();
          await manager.release(shard);
        },
      },
      { name: 'flat SHA-256 of it by node:crypto', run: () => flatHash(file) },
      Math.min(setting.rounds, 5),
      setting.signal,
    );
  } finally {
    await manager.close();
  }
}

async function flatHash(file: string): Promise<string> {
  const hash = createHash('sha256');
  const source = await fileSource(file);
  for await (const chunk of source.stream({ chunkBytes: CHUNK })) hash.update(chunk);
  await source.close();
  return hash.digest('hex');
}

async function wasmAgainstHashWasm(setting: BenchSetting): Promise<Pair[]> {
  const bytes = randomBytes(32 * MIB);
  const engines = { wasm: createPortableEngine('wasm'), peer: createPortableEngine('hash-wasm') };
  const timed = (engine: DigestEngine, name: string, sha256: boolean) => ({
    name,
    run: async () => {
      if (sha256) await engine.sha256(bytes);
      else await treeOf(engine, bytes);
    },
  });
  const rounds = Math.min(setting.rounds, 7);
  return [
    await measurePair(
      'wasm-tree',
      timed(engines.wasm, 'WASM fs-verity tree, 32 MiB', false),
      timed(engines.peer, 'hash-wasm block by block', false),
      rounds,
      setting.signal,
    ),
    await measurePair(
      'wasm-flat',
      timed(engines.wasm, 'WASM flat SHA-256, 32 MiB', true),
      timed(engines.peer, 'hash-wasm flat', true),
      rounds,
      setting.signal,
    ),
  ];
}

async function treeOf(engine: DigestEngine, bytes: Uint8Array): Promise<void> {
  const stream = engine.start({ byteLength: bytes.length, sha256: false, keep: 'root' });
  for (let offset = 0; offset < bytes.length; offset += CHUNK) {
    await stream.update(bytes.subarray(offset, offset + CHUNK));
  }
  await stream.finish();
}

async function writeRandomFile(path: string, length: number): Promise<string> {
  const handle = await open(path, 'w');
  for (let written = 0; written < length; written += 4 * MIB) {
    await handle.write(randomBytes(Math.min(4 * MIB, length - written)));
  }
  await handle.close();
  return path;
}

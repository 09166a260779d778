import { spawn } from 'node:child_process';
import { createHash, randomFillSync } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { createPortableEngine, type DigestEngine } from '../../digest/index.js';
import type { OperationEvent } from '../../events/index.js';
import { type ManagerOptions, type Platform, VramManager } from '../../manager/index.js';
import { createNodeEngine, fileSource } from '../../node/index.js';
import { bytesSource } from '../../source/index.js';
import { measurePair, median, type Pair } from './measure.js';

const MIB = 1024 * 1024;
const CHUNK = MIB;

export interface BenchSetting {
  readonly platform: Platform;
  /** Sealed and verified on this device. */
  readonly device: string;
  /** Bytes to hash on the device. */
  readonly deviceBytes: number;
  /** Bytes of the file to seal and to digest. */
  readonly fileBytes: number;
  readonly rounds: number;
  /** The program's file. */
  readonly main: string;
  readonly signal: AbortSignal;
  readonly onPair: (pair: Pair) => void;
}

/** What the original system states for itself, and what this one measured for the same step, in milliseconds. */
export interface Stated {
  readonly step: string;
  readonly original: string;
  readonly measured: string;
}

/** All pairs, one after another. */
export async function benchPairs(setting: BenchSetting): Promise<Pair[]> {
  const pairs: Pair[] = [];
  const report = (pair: Pair): void => {
    pairs.push(pair);
    setting.onPair(pair);
  };
  report(await verifyAgainstReadback(setting));
  const folder = await mkdtemp(join(tmpdir(), 'vram-bench-'));
  try {
    const file = await writeRandomFile(join(folder, 'weights.bin'), setting.fileBytes);
    report(await sealAgainstFlatHash(setting, file));
    for (const pair of await digestAgainstPrograms(setting, file)) report(pair);
  } finally {
    await rm(folder, { recursive: true });
  }
  for (const pair of await wasmAgainstHashWasm(setting)) report(pair);
  return pairs;
}

function openManager(setting: BenchSetting, options: Partial<ManagerOptions> = {}): Promise<VramManager> {
  return VramManager.open(
    { device: setting.device, policy: 'any', workerId: 'bench', ...options },
    setting.platform,
  );
}

async function verifyAgainstReadback(setting: BenchSetting): Promise<Pair> {
  const manager = await openManager(setting);
  try {
    const size = `${setting.deviceBytes / MIB} MiB`;
    const shard = await manager.seal(bytesSource(randomBytes(setting.deviceBytes)));
    return await measurePair(
      { name: `verify ${size} in place`, run: () => manager.verify(shard) },
      { name: 'read back and node:crypto', run: () => manager.verify(shard, { mode: 'readback' }) },
      setting.rounds,
      setting.signal,
    );
  } finally {
    await manager.close();
  }
}

async function sealAgainstFlatHash(setting: BenchSetting, file: string): Promise<Pair> {
  const manager = await openManager(setting);
  try {
    return await measurePair(
      {
        name: `seal a ${setting.fileBytes / MIB} MiB file (both digests, device tree, signature)`,
        run: async () => {
          const source = await fileSource(file);
          const shard = await manager.seal(source);
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

async function digestAgainstPrograms(setting: BenchSetting, file: string): Promise<Pair[]> {
  const size = `${setting.fileBytes / MIB} MiB`;
  const ours = {
    name: `vram-residency digest, ${size} file, whole process`,
    run: () => runProgram(execPath, [setting.main, 'digest', file]),
  };
  const pairs: Pair[] = [];
  const peers: readonly (readonly [string, readonly string[]])[] = [
    ['fsverity', ['digest', file]],
    ['sha256sum', [file]],
  ];
  for (const [command, args] of peers) {
    const peer = { name: `${command} (program)`, run: () => runProgram(command, args) };
    if (!(await isInstalled(peer.run))) continue;
    pairs.push(await measurePair(ours, peer, Math.min(setting.rounds, 7), setting.signal));
  }
  return pairs;
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
      timed(engines.wasm, 'WASM fs-verity tree, 32 MiB', false),
      timed(engines.peer, 'hash-wasm block by block', false),
      rounds,
      setting.signal,
    ),
    await measurePair(
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

const STATED_ROUNDS = 200;
const COPY_BYTES = 64 * MIB;

/** A 1 MiB seal on the host backend, step by step, beside the figures that the original system states for its GPU. */
export async function benchStated(setting: BenchSetting): Promise<Stated[]> {
  const times = new Map<string, number[]>();
  const note = (name: string, ms: number | null): void => {
    if (ms !== null) times.set(name, [...(times.get(name) ?? []), ms]);
  };
  const observer = {
    name: 'bench',
    required: false,
    on(event: OperationEvent): void {
      if (event.type === 'vram.allocated' || event.type === 'vram.sealed') note(event.type, event.durationMs);
      if (event.type === 'signature.generated') note(event.type, event.durationMs);
    },
  };
  const engine = createNodeEngine();
  const manager = await openManager(setting, { device: 'host', observers: [observer], engine });
  try {
    const bytes = randomBytes(MIB);
    for (let round = 0; round < STATED_ROUNDS; round += 1) {
      setting.signal.throwIfAborted();
      const started = performance.now();
      const shard = await manager.seal(bytesSource(bytes));
      note('seal', performance.now() - started);
      await manager.release(shard);
    }
  } finally {
    await manager.close();
    await engine.close();
  }
  const of = (name: string): string => `${median(times.get(name) ?? []).toFixed(2)} ms`;
  return [
    { step: 'seal 1 MiB', original: 'about 2 ms', measured: of('seal') },
    { step: 'allocation', original: 'about 1 ms', measured: of('vram.allocated') },
    { step: 'signature', original: 'under 1 ms', measured: of('signature.generated') },
    { step: 'copy in', original: 'about 5 GB/s', measured: await copyRate(setting) },
  ];
}

async function copyRate(setting: BenchSetting): Promise<string> {
  const backend = setting.platform.backends({}).find(({ kind }) => kind === 'host');
  if (backend === undefined) return 'no host backend';
  const device = await backend.open(0);
  try {
    const bytes = randomBytes(CHUNK);
    const rates: number[] = [];
    for (let round = 0; round < 7; round += 1) {
      const region = await device.allocate(COPY_BYTES);
      const started = performance.now();
      for (let offset = 0; offset < COPY_BYTES; offset += CHUNK) await region.write(offset, bytes);
      rates.push(COPY_BYTES / 1e6 / (performance.now() - started));
      await region.release();
    }
    return `${median(rates).toFixed(1)} GB/s`;
  } finally {
    await device.close();
  }
}

function randomBytes(length: number): Uint8Array {
  return randomFillSync(new Uint8Array(length));
}

async function writeRandomFile(path: string, length: number): Promise<string> {
  const handle = await open(path, 'w');
  for (let written = 0; written < length; written += 4 * MIB) {
    await handle.write(randomBytes(Math.min(4 * MIB, length - written)));
  }
  await handle.close();
  return path;
}

async function runProgram(command: string, args: readonly string[]): Promise<void> {
  const child = spawn(command, args, { stdio: 'ignore' });
  await new Promise<void>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`${command} ended with ${code}`)),
    );
  });
}

async function isInstalled(run: () => Promise<unknown>): Promise<boolean> {
  try {
    await run();
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EACCES'))
      return false;
    throw error;
  }
}

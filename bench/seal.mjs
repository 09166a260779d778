// node bench/seal.mjs [--size 256MiB] [--rounds 3] [--device host|webgpu:0]...: time and host memory of sealing a file, by
// hashing side and layout, compared with a flat SHA-256 of the file. Every row is a separate process. Its CPU time is that
// of all its threads; its memory is the peak of its resident set less that after a first small seal and less the shard.
// Prints a Markdown table.
import { execFile } from 'node:child_process';
import { createHash, randomFillSync } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
if (!existsSync(`${root}dist/index.js`)) await import('../scripts/build.mjs');
const { createNodeEngine } = await import('../dist/node/digest/index.js');
const { openModel, tensorSource, VramManager, fileSource } = await import('../dist/index.js');

const MIB = 2 ** 20;
const CHUNK = 2 * MIB;
const TENSORS = 64;

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '256MiB' },
    rounds: { type: 'string', default: '3' },
    device: { type: 'string', multiple: true, default: ['host', 'webgpu:0'] },
    row: { type: 'string' },
  },
});

const ROWS = [
  { layout: 'bytes', hashing: 'host', digests: ['sha256', 'fsverity'] },
  { layout: 'bytes', hashing: 'host', digests: ['fsverity'] },
  { layout: 'bytes', hashing: 'device' },
  { layout: 'tensors', hashing: 'host', digests: ['sha256', 'fsverity'] },
  { layout: 'tensors', hashing: 'device' },
];

if (values.row === undefined) await printTable();
else console.log(JSON.stringify(await measureRow(JSON.parse(values.row))));

async function printTable() {
  const size = Number(/^(\d+)MiB$/.exec(values.size)?.[1]) * MIB;
  if (!(size >= 4 * MIB)) {
    throw new Error(`--size must be a whole number of MiB, at least 4MiB, got ${values.size}`);
  }
  const folder = await mkdtemp(join(tmpdir(), 'vram-bench-'));
  try {
    const file = await writeModel(join(folder, 'weights.safetensors'), size);
    const small = await writeModel(join(folder, 'small.safetensors'), TENSORS * 4096);
    const expected = await digestsOf(file);
    console.log(
      `${cpus()[0]?.model ?? 'CPU'}, ${cpus().length} cores, Node ${process.version}, ${values.size}\n`,
    );
    console.log(
      '| device | layout | hashing | ms | CPU ms | times the CPU of flat SHA-256 | host memory, MiB |',
    );
    console.log('|---|---|---|---|---|---|---|');
    const flat = await child({ file });
    printRow(['none', 'flat SHA-256 of the file alone', 'host'], flat, flat);
    for (const device of values.device) {
      for (const row of ROWS) {
        const found = await child({ ...row, file, small, device, expected: expected[row.layout] });
        const hashes = row.hashing === 'device' ? 'device' : `host, ${row.digests.join(' and ')}`;
        printRow([found.name, row.layout, hashes], found, flat);
      }
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

function printRow(names, { ms, cpuMs, memory }, flat) {
  const ratio = (cpuMs / flat.cpuMs).toFixed(2);
  console.log(
    `| ${[...names, ms.toFixed(0), cpuMs.toFixed(0), ratio, (memory / MIB).toFixed(0)].join(' | ')} |`,
  );
}

async function child(row) {
  const self = fileURLToPath(import.meta.url);
  const args = ['--expose-gc', self, '--rounds', values.rounds, '--row', JSON.stringify(row)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout.trim().split('\n').at(-1));
}

/** Medians of the rounds, and peak memory. */
async function measureRow(row) {
  if (row.device === undefined) {
    const before = resident('VmRSS');
    const times = await timed(() => flatHash(row.file));
    return { ...times, memory: resident('VmHWM') - before };
  }
  if (row.device.startsWith('webgpu')) {
    const { prepareVulkan } = await import('../test/support/vulkan.mjs');
    await prepareVulkan();
  }
  const manager = await VramManager.open({ device: row.device, workerId: 'bench', policy: 'any' });
  const seal = async (file, options) => {
    const source = await openSource(row.layout, file);
    const shard = await manager.seal(source, options);
    await manager.release(shard);
    await source.close();
    return shard.byteLength;
  };
  try {
    // Loading, compiling and known answers happen once and are not part of a seal.
    await seal(row.small, {});
    globalThis.gc?.();
    const before = resident('VmRSS');
    const { digests, hashing } = row;
    const expected = hashing === 'device' ? row.expected : undefined;
    let byteLength = 0;
    const times = await timed(async () => {
      byteLength = await seal(row.file, { digests, hashing, expected });
    });
    // The memory of both devices that run here is system memory.
    return { ...times, memory: resident('VmHWM') - before - byteLength, name: manager.device.name };
  } finally {
    await manager.close();
  }
}

async function openSource(layout, file) {
  return layout === 'bytes' ? await fileSource(file) : tensorSource(await openModel(file));
}

/** The fsverity digest of each layout. */
async function digestsOf(file) {
  const engine = createNodeEngine();
  const found = {};
  for (const layout of ['bytes', 'tensors']) {
    const source = await openSource(layout, file);
    const stream = engine.start({ byteLength: source.byteLength, sha256: false, keep: 'root' });
    for await (const chunk of source.stream({ chunkBytes: CHUNK })) await stream.update(chunk);
    found[layout] = (await stream.finish()).fsverity;
    await source.close();
  }
  await engine.close();
  return found;
}

async function flatHash(file) {
  const hash = createHash('sha256');
  const source = await fileSource(file);
  for await (const chunk of source.stream({ chunkBytes: CHUNK })) hash.update(chunk);
  await source.close();
  return hash.digest('hex');
}

/** Tensors of random bytes in a safetensors file of `size` bytes and its header. */
async function writeModel(path, size) {
  const each = size / TENSORS;
  const entries = Array.from({ length: TENSORS }, (_, index) => [
    `layer.${index}.weight`,
    { dtype: 'F32', shape: [each / 4], data_offsets: [index * each, (index + 1) * each] },
  ]);
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const handle = await open(path, 'w');
  await handle.write(length);
  await handle.write(header);
  for (let at = 0; at < size; at += CHUNK)
    await handle.write(randomFillSync(Buffer.alloc(Math.min(CHUNK, size - at))));
  await handle.close();
  return path;
}

async function timed(work) {
  const times = [];
  const cpu = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    const used = process.cpuUsage();
    const started = performance.now();
    await work();
    times.push(performance.now() - started);
    const { user, system } = process.cpuUsage(used);
    cpu.push((user + system) / 1000);
  }
  return { ms: median(times), cpuMs: median(cpu) };
}

/** Bytes; a field of /proc/self/status, which only Linux has. */
function resident(field) {
  const found = new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(found?.[1]) * 1024;
}

function median(times) {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

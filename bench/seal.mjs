// node bench/seal.mjs [--size 256MiB] [--rounds 3] [--device host|webgpu:0]...: how long sealing a file takes, and how much host memory, by who
// hashes and by layout, beside a flat SHA-256 of the file alone. Every row is a process of its own; its memory is the peak of its resident
// set less that after opening the device and, on devices in system memory, less the shard. Prints a Markdown table.
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
  if (!(size >= (TENSORS * MIB) / 16))
    throw new Error(`--size must be a whole number of MiB, at least 4MiB, got ${values.size}`);
  const folder = await mkdtemp(join(tmpdir(), 'vram-bench-'));
  try {
    const file = await writeModel(join(folder, 'weights.safetensors'), size);
    const expected = await digestsOf(file);
    const { ms: flatMs, memory } = await child({ file, flat: true });
    console.log(
      `${cpus()[0]?.model ?? 'CPU'}, ${cpus().length} cores, Node ${process.version}, ${values.size}\n`,
    );
    console.log('| device | layout | hashing | ms | times flat SHA-256 | host memory, MiB |');
    console.log('|---|---|---|---|---|---|');
    console.log(
      `| none | flat SHA-256 of the file alone | host | ${flatMs.toFixed(0)} | 1 | ${mib(memory)} |`,
    );
    for (const device of values.device) {
      for (const row of ROWS) {
        const {
          ms,
          memory: used,
          name,
        } = await child({ ...row, file, device, expected: expected[row.layout] });
        const hashes = row.hashing === 'device' ? 'device' : `host, ${row.digests.join(' and ')}`;
        console.log(
          `| ${name} | ${row.layout} | ${hashes} | ${ms.toFixed(0)} | ${(ms / flatMs).toFixed(2)} | ${mib(used)} |`,
        );
      }
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function child(row) {
  const args = [
    '--expose-gc',
    fileURLToPath(import.meta.url),
    '--rounds',
    values.rounds,
    '--row',
    JSON.stringify(row),
  ];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout.trim().split('\n').at(-1));
}

/** Median time of the rounds and peak memory. */
async function measureRow(row) {
  if (row.flat) {
    const before = resident('VmRSS');
    const times = await timed(() => flatHash(row.file));
    return { ms: median(times), memory: resident('VmHWM') - before };
  }
  if (row.device.startsWith('webgpu')) {
    const { prepareVulkan } = await import('../test/support/vulkan.mjs');
    await prepareVulkan();
  }
  const manager = await VramManager.open({ device: row.device, workerId: 'bench', policy: 'any' });
  try {
    // What is loaded and compiled once is no part of a seal.
    await manager.release(await manager.seal(oneByte()));
    globalThis.gc?.();
    const before = resident('VmRSS');
    let byteLength = 0;
    const times = await timed(async () => {
      const { source, close } = await sourceOf(row);
      const { digests, hashing } = row;
      const shard = await manager.seal(source, {
        ...(digests === undefined ? {} : { digests }),
        hashing,
        ...(hashing === 'device' ? { expected: row.expected } : {}),
      });
      byteLength = shard.byteLength;
      await manager.release(shard);
      await close();
    });
    // Both devices that run here have their memory in the system's.
    return { ms: median(times), memory: resident('VmHWM') - before - byteLength, name: manager.device.name };
  } finally {
    await manager.close();
  }
}

async function sourceOf({ layout, file }) {
  if (layout === 'bytes') {
    const source = await fileSource(file);
    return { source, close: () => source.close() };
  }
  const source = tensorSource(await openModel(file));
  return { source, close: () => source.close() };
}

/** The fsverity digest of each layout. */
async function digestsOf(file) {
  const engine = createNodeEngine();
  const found = {};
  for (const layout of ['bytes', 'tensors']) {
    const { source, close } = await sourceOf({ layout, file });
    const stream = engine.start({ byteLength: source.byteLength, sha256: false, keep: 'root' });
    for await (const chunk of source.stream({ chunkBytes: CHUNK })) await stream.update(chunk);
    found[layout] = (await stream.finish()).fsverity;
    await close();
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
  for (let round = 0; round < Number(values.rounds); round++) {
    const started = performance.now();
    await work();
    times.push(performance.now() - started);
  }
  return times;
}

function oneByte() {
  return {
    byteLength: 1,
    label: 'one byte',
    async *stream() {
      yield new Uint8Array(1);
    },
    unchanged: async () => {},
    close: async () => {},
  };
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

function mib(bytes) {
  return (bytes / MIB).toFixed(0);
}

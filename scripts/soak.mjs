// npm run soak [-- --cycles N --minutes N --seed N]: long use of the built library on the host backend, with an audit log
// on disk.
//   1. --cycles (default 100,000) of seal, verify, release with shards of 1 to 8192 bytes, sixteen at a time;
//   2. --minutes (default 10) of mixed load with faults: seals too large, wrong digests, forged and stale handles,
//      damage, healing, leases, aborted work.
// Resident set, heap and device accounting must stay flat, every call must end as it should, and the log must verify at the
// end. Exit code 1 otherwise.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isVramError } from '../dist/base/errors.js';
import { hostBackend } from '../dist/device/host/index.js';
import { VramManager } from '../dist/index.js';
import { openAuditDirectory, verifyAudit } from '../dist/node/audit/index.js';
import { bytesSource } from '../dist/source/bytes.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const MIB = 2 ** 20;
const { values } = parseArgs({
  options: {
    cycles: { type: 'string', default: '100000' },
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    json: { type: 'string' },
  },
});
const CYCLES = Number(values.cycles);
const MINUTES = Number(values.minutes);
const CYCLES_AT_ONCE = 16;
const ACTORS = 4;
const BUDGET_BYTES = 24 * MIB;
/** Growth of the resident set from the second quarter of the samples to the last that still counts as flat. */
const FLAT_BYTES = 12 * MIB;
const SAMPLES = 40;

let state = Number(values.seed) >>> 0 || 1;
function below(limit) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % limit;
}
function bytes(length) {
  const made = new Uint8Array(length);
  for (let i = 0; i < length; i += 997) made[i] = below(256);
  return made;
}

const folder = mkdtempSync(join(tmpdir(), 'vram-soak-'));
const token = () => new Uint8Array(32).fill(0x5a);
const dir = join(folder, 'log');
const keyFile = join(folder, 'checkpoint.key');
const log = await openAuditDirectory({ dir, token: token(), workerId: 'soak', keyFile });
const device = await hostBackend().open(0, { drills: true, windowBytes: 256 * 1024 });
const manager = await VramManager.open({
  device,
  workerId: 'soak',
  token: token(),
  policy: 'any',
  drills: true,
  budgetBytes: BUDGET_BYTES,
  observers: [log.observer],
});
const atRest = device.stats();

/** One measurement, taken while no call is running, after a garbage collection where one can be requested. */
async function sample(done) {
  for (let i = 0; i < 2; i++) {
    globalThis.gc?.();
    // Native memory of collected objects is freed in later turns of the event loop.
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  const { liveRegions, liveBytes, scratchBytes } = device.stats();
  return { done, rss, heapUsed, arrayBuffers, liveRegions, liveBytes, scratchBytes };
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** Growth between the medians of the second and the last quarter; the first quarter is warm-up. */
function growth(samples, key) {
  const quarter = Math.floor(samples.length / 4);
  const of = (from, to) => median(samples.slice(from, to).map((one) => one[key]));
  return of(samples.length - quarter, samples.length) - of(quarter, 2 * quarter);
}

const problems = [];
const expectedCodes = {};
async function fails(code, call) {
  try {
    await call;
  } catch (error) {
    if (!isVramError(error, code)) throw error;
    expectedCodes[code] = (expectedCodes[code] ?? 0) + 1;
    return error;
  }
  throw new Error(`a call that must fail with ${code} succeeded`);
}

async function cycles() {
  const samples = [await sample(0)];
  let next = 0;
  let done = 0;
  const started = process.hrtime.bigint();
  const worker = async (end) => {
    while (next < end) {
      next++;
      const shard = await manager.seal(bytesSource(bytes(1 + below(8192))), { digests: ['fsverity'] });
      await manager.verify(shard);
      const { released, wiped, recorded } = await manager.release(shard);
      if (!released || !wiped || !recorded) throw new Error('a release was not whole');
      done++;
    }
  };
  for (let round = 1; round <= SAMPLES; round++) {
    const end = Math.ceil((round * CYCLES) / SAMPLES);
    await Promise.all(Array.from({ length: CYCLES_AT_ONCE }, () => worker(end)));
    samples.push(await sample(done));
  }
  return { cycles: done, seconds: Number(process.hrtime.bigint() - started) / 1e9, samples };
}

async function mixed() {
  const started = Date.now();
  const samples = [await sample(0)];
  const counts = {};
  const tooLarge = bytes(BUDGET_BYTES + 1);
  let operations = 0;
  const count = (name) => {
    counts[name] = (counts[name] ?? 0) + 1;
    operations++;
  };
  const actors = Array.from({ length: ACTORS }, () => {
    let data = bytes(1);
    let shard = null;
    let stale = null;
    return {
      work: async (until) => {
        while (Date.now() < until) await act();
      },
      leave: async () => {
        if (shard !== null) await manager.release(shard);
      },
    };

    async function act() {
      if (shard === null) {
        data = bytes(1 + below(below(8) === 0 ? 2 * MIB : 65_536));
        shard = await manager.seal(bytesSource(data));
        count('seal');
      }
      switch (below(12)) {
        case 0:
          await manager.release(shard);
          stale = shard;
          shard = null;
          count('release');
          break;
        case 1:
        case 2:
          await manager.verify(shard);
          count('verify');
          break;
        case 3:
          await manager.verify(JSON.stringify(shard), { mode: 'readback' });
          count('readback');
          break;
        case 4: {
          const first = await manager.execute(shard, (lease) => lease.read(0, 1));
          if (first[0] !== data[0]) throw new Error('a lease read another byte');
          count('execute');
          break;
        }
        case 5: {
          const { flips } = await manager.drill(shard, { seed: below(2 ** 31), flips: 1 + below(4) });
          if (flips.length === 0) throw new Error('a drill flipped nothing');
          const { report } = await fails('INTEGRITY_VIOLATION', manager.verify(shard));
          if (report.damaged.length === 0) throw new Error('damage was not localised');
          await fails(
            'INTEGRITY_VIOLATION',
            manager.execute(shard, () => 0),
          );
          const { healedBlocks } = await manager.heal(shard, bytesSource(data));
          if (healedBlocks === 0) throw new Error('nothing was healed');
          await manager.verify(shard);
          count('damage and heal');
          break;
        }
        case 6:
          await fails('INSUFFICIENT_VRAM', manager.seal(bytesSource(tooLarge)));
          count('seal beyond the budget');
          break;
        case 7:
          await fails(
            'SOURCE_MISMATCH',
            manager.seal(bytesSource(data), { expected: `sha256:${'0'.repeat(64)}` }),
          );
          count('seal of other bytes than expected');
          break;
        case 8:
          await fails('SEAL_VERIFICATION_FAILED', manager.verify({ ...shard.toJSON(), shardId: 'forged' }));
          if (stale !== null) await fails('NOT_FOUND', manager.verify(stale));
          count('forged and stale handles');
          break;
        case 9: {
          const { totalBytes, usedBytes, availableBytes } = await manager.capacity();
          if (totalBytes < usedBytes + availableBytes) throw new Error('capacity does not add up');
          count('capacity');
          break;
        }
        case 10:
          await fails('ABORTED', manager.verify(shard, { signal: AbortSignal.abort() }));
          count('aborted verify');
          break;
        default:
          await manager.verify(shard, { mode: 'sampled', groups: 1 });
          count('sampled verify');
      }
    }
  });
  for (let round = 1; round <= SAMPLES; round++) {
    const until = started + (round * MINUTES * 60_000) / SAMPLES;
    await Promise.all(actors.map(({ work }) => work(until)));
    samples.push(await sample(operations));
  }
  await Promise.all(actors.map(({ leave }) => leave()));
  samples.push(await sample(operations));
  return { operations, seconds: MINUTES * 60, counts, samples };
}

function judge(name, { samples }) {
  const last = samples.at(-1);
  if (last.liveRegions !== 0 || last.liveBytes !== 0)
    problems.push(`${name}: ${last.liveBytes} bytes are left`);
  if (last.scratchBytes !== atRest.scratchBytes)
    problems.push(`${name}: scratch grew to ${last.scratchBytes}`);
  const grown = growth(samples, 'rss');
  if (grown > FLAT_BYTES) problems.push(`${name}: the resident set grew by ${(grown / MIB).toFixed(1)} MiB`);
  return {
    rssGrowthMiB: +(grown / MIB).toFixed(1),
    heapGrowthMiB: +(growth(samples, 'heapUsed') / MIB).toFixed(1),
    rssMiB: samples.map(({ rss }) => Math.round(rss / MIB)),
  };
}

const result = { startedAt: new Date().toISOString(), collectorAsked: globalThis.gc !== undefined };
try {
  const first = await cycles();
  result.cycles = { cycles: first.cycles, seconds: Math.round(first.seconds), ...judge('cycles', first) };
  console.log(JSON.stringify(result.cycles));
  const second = await mixed();
  result.mixed = {
    operations: second.operations,
    seconds: second.seconds,
    counts: second.counts,
    expectedFailures: expectedCodes,
    ...judge('mixed load', second),
  };
  console.log(JSON.stringify(result.mixed));
  const { usedBytes } = await manager.capacity();
  if (usedBytes !== 0) problems.push(`${usedBytes} bytes are still counted as used`);
  await manager.close();
  await log.close();
  await device.close();
  const report = await verifyAudit(dir, { token: token(), keyFile });
  result.audit = { ok: report.ok, records: report.records };
  if (!report.ok) problems.push('the audit log does not verify');
  console.log(JSON.stringify(result.audit));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
result.problems = problems;
if (values.json !== undefined) writeFileSync(join(root, values.json), `${JSON.stringify(result, null, 2)}\n`);
for (const problem of problems) console.error(`SOAK: ${problem}`);
console.log(problems.length === 0 ? 'soak passed' : 'soak FAILED');
process.exit(problems.length === 0 ? 0 : 1);

// node bench/host.mjs [--size 1024MiB] [--rounds 5]: the host device with the addon's block hasher beside the same with
// node:crypto (VRAM_RESIDENCY_HASHER=node): verifying in place, the longest stall of the event loop meanwhile, and the
// time to seal 1 MiB. Each runs in a separate process, in turns. Prints a Markdown table of medians.
import { fork } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const MIB = 2 ** 20;
const SMALL_SEALS = 50;

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '1024MiB' },
    rounds: { type: 'string', default: '5' },
    child: { type: 'boolean', default: false },
  },
});
const size = Number(/^(\d+)MiB$/.exec(values.size)?.[1]) * MIB;
if (!(size > 0)) throw new Error(`--size must be a whole number of MiB, got ${values.size}`);

if (values.child) await serveRounds();
else await printTable();

async function printTable() {
  const root = fileURLToPath(new URL('..', import.meta.url));
  if (!existsSync(`${root}dist/bundle/lib/index.js`)) await import('../scripts/build.mjs');
  const [addon, node] = await Promise.all([startChild({}), startChild({ VRAM_RESIDENCY_HASHER: 'node' })]);
  const rounds = { addon: [], node: [] };
  for (let round = 0; round < Number(values.rounds); round++) {
    rounds.addon.push(await oneRound(addon));
    rounds.node.push(await oneRound(node));
  }
  for (const child of [addon, node]) child.disconnect();
  const load = loadavg()[0]?.toFixed(1);
  console.log(
    `${cpus()[0]?.model ?? 'CPU'}, ${cpus().length} cores, Node ${process.version}, load ${load}\n`,
  );
  console.log('| what | by the addon | by node:crypto | ratio |');
  console.log('|---|---|---|---|');
  for (const what of Object.keys(rounds.addon[0])) {
    const ours = rounds.addon.map((round) => round[what]);
    const theirs = rounds.node.map((round) => round[what]);
    const ratio = median(ours.map((value, round) => theirs[round] / value));
    console.log(
      `| ${what} | ${median(ours).toFixed(2)} | ${median(theirs).toFixed(2)} | ${ratio.toFixed(2)} |`,
    );
  }
}

async function startChild(env) {
  const args = ['--child', '--size', values.size];
  const child = fork(fileURLToPath(import.meta.url), args, { env: { ...process.env, ...env } });
  await once(child, 'message');
  return child;
}

async function oneRound(child) {
  child.send('round');
  const [figures] = await once(child, 'message');
  return figures;
}

/** Measures once for each message of the parent, and ends when it disconnects. */
async function serveRounds() {
  const { bytesSource, VramManager } = await import('../dist/bundle/lib/index.js');
  const manager = await VramManager.open({ device: 'host', workerId: 'bench', policy: 'any' });
  const shard = await manager.seal(bytesSource(randomFillSync(new Uint8Array(size))));
  const small = randomFillSync(new Uint8Array(MIB));
  const sealSmall = async () => {
    const began = performance.now();
    const sealed = await manager.seal(bytesSource(small));
    const ms = performance.now() - began;
    await manager.release(sealed);
    return ms;
  };
  const round = async () => {
    const verified = await verify(manager, shard);
    const used = process.cpuUsage();
    const times = [];
    for (let seal = 0; seal < SMALL_SEALS; seal++) times.push(await sealSmall());
    return {
      ...verified,
      'seal 1 MiB, ms': median(times),
      'seal 1 MiB and release it, ms of processor time': cpuMs(used) / SMALL_SEALS,
    };
  };
  // The first round does not count: code is compiled and the kernels are proved only once.
  await round();
  process.on('message', async () => process.send(await round()));
  process.once('disconnect', () => manager.close());
  process.send('ready');
}

async function verify(manager, shard) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const used = process.cpuUsage();
  const began = performance.now();
  delay.enable();
  await manager.verify(shard);
  delay.disable();
  const what = `verify ${values.size.replace('MiB', ' MiB')}`;
  return {
    [`${what}, ms`]: performance.now() - began,
    [`${what}, ms of processor time`]: cpuMs(used),
    [`${what}, longest block of the event loop, ms`]: delay.max / 1e6,
  };
}

function cpuMs(since) {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

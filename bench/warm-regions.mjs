// node bench/warm-regions.mjs [--rounds 15]: allocating a region of the host device and filling it, from fresh memory and
// from the pool of released regions, in turns. Prints a Markdown table of medians; the ratio is the
// median over the rounds.
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { hostBackend } from '../dist/device/index.js';
import { adviseHugePages } from '../dist/node/devices/huge-pages.js';

const MIB = 2 ** 20;
const { values } = parseArgs({ options: { rounds: { type: 'string', default: '15' } } });
const open = (poolBytes) => hostBackend({ prepare: adviseHugePages, poolBytes }).open(0);
const [fresh, pooled] = [await open(0), await open(64 * MIB)];
const source = new Uint8Array(MIB).fill(7);

async function filled(device, byteLength) {
  const started = performance.now();
  const region = await device.allocate(byteLength);
  for (let offset = 0; offset < byteLength; offset += source.length) await region.write(offset, source);
  const ms = performance.now() - started;
  await region.release();
  return ms;
}

const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];

console.log(
  `${cpus()[0]?.model ?? 'CPU'}, ${cpus().length} cores, Node ${process.version}, load ${loadavg()[0]}\n`,
);
console.log('| region | fresh, ms | from the pool, ms | ratio |');
console.log('|---|---|---|---|');
for (const size of [1, 16, 64]) {
  await filled(pooled, size * MIB);
  const rounds = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    rounds.push([await filled(fresh, size * MIB), await filled(pooled, size * MIB)]);
  }
  const figures = [
    median(rounds.map(([ms]) => ms)).toFixed(2),
    median(rounds.map(([, ms]) => ms)).toFixed(2),
    median(rounds.map(([without, kept]) => without / kept)).toFixed(1),
  ];
  console.log(`| ${size} MiB | ${figures.join(' | ')} |`);
}
await fresh.close();
await pooled.close();

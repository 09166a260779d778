// node bench/hashers.mjs [--rounds 7]: SHA-256 of 4096-byte blocks on one core, by each block hasher of the addon that this
// processor runs, beside node:crypto block by block. CPU time, 64 MiB a round, the hashers in turns; the best round counts.
// Prints a Markdown table.
import { hash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { addonPaths } from '../dist/node/addon/index.js';

const BLOCK = 4096;
const HASH = 32;
const BYTES = 64 * 2 ** 20;

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '7' } } });
const path = addonPaths().find((candidate) => existsSync(candidate));
if (path === undefined) throw new Error('there is no addon: npm run build:native');
const addon = createRequire(import.meta.url)(path);

const blocks = new Uint8Array(BYTES);
for (let at = 0; at < BYTES; at++) blocks[at] = Math.imul(at, 0x9e37_79b1) >>> 24;
const hashes = new Uint8Array((BYTES / BLOCK) * HASH);

function byNode() {
  for (let from = 0, to = 0; from < BYTES; from += BLOCK, to += HASH) {
    hashes.set(hash('sha256', blocks.subarray(from, from + BLOCK), 'buffer'), to);
  }
}

const ways = new Map([['node:crypto', byNode]]);
for (const name of addon.blockHasherNames()) ways.set(name, () => addon.hashBlocks(name, blocks, hashes));

const best = new Map();
let judge = null;
for (let round = 0; round < Number(values.rounds); round++) {
  for (const [name, work] of ways) {
    hashes.fill(0);
    const before = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(before);
    best.set(name, Math.min(best.get(name) ?? Number.POSITIVE_INFINITY, user + system));
    judge ??= Buffer.from(hashes);
    if (!judge.equals(hashes)) throw new Error(`${name} gives other hashes`);
  }
}

const reference = best.get('node:crypto');
console.log('| hasher | MB/s of one core | against node:crypto |\n|---|---|---|');
for (const [name, micros] of best) {
  console.log(`| ${name} | ${(BYTES / micros).toFixed(0)} | ${(reference / micros).toFixed(2)} |`);
}

// node bench/aims.mjs [--out FOLDER] [--only NAME]...: runs, one after another, every command behind the tables "Against
// peers" and "What was aimed at" of docs/performance.md; some ten minutes on a quiet machine. The output of each command
// goes to a separate file, with its time and the machine's load before and after. The steps named "vulkan" need
// an adapter, which test/support/vulkan.mjs finds; seal-4gib takes 12 GiB of memory and disk.
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
/** OpenSSL's own words for "without the SHA instructions". */
const NO_SHA = { OPENSSL_ia32cap: ':~0x20000000' };

const STEPS = [
  { name: 'hashers', args: ['bench/hashers.mjs'] },
  { name: 'hashers-openssl-without-sha', args: ['bench/hashers.mjs'], env: NO_SHA },
  { name: 'bench', args: ['dist/bundle/lib/main.js', 'bench', '--device', 'host', '--json'] },
  { name: 'bench-again', args: ['dist/bundle/lib/main.js', 'bench', '--device', 'host', '--json'] },
  {
    name: 'bench-1gib',
    args: ['dist/bundle/lib/main.js', 'bench', '--device', 'host', '--file-size', String(2 ** 30), '--json'],
  },
  { name: 'host', args: ['bench/host.mjs'] },
  { name: 'seal-1gib', args: ['bench/seal.mjs', '--size', '1024MiB', '--device', 'host'] },
  {
    name: 'seal-4gib',
    args: ['bench/seal.mjs', '--size', '4096MiB', '--device', 'host', '--rounds', '1'],
  },
  { name: 'warm-regions', args: ['bench/warm-regions.mjs'] },
  { name: 'vulkan-bench', args: ['bench/run.mjs', '--device', 'webgpu:0', '--json'] },
  { name: 'vulkan-seal', args: ['bench/seal.mjs', '--size', '256MiB', '--device', 'webgpu:0'] },
  { name: 'vulkan-set', args: ['bench/verify-set.mjs', '--device', 'webgpu:0'] },
];

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: join(root, 'build', 'aims') },
    only: { type: 'string', multiple: true, default: STEPS.map(({ name }) => name) },
  },
});
const unknown = values.only.filter((only) => !STEPS.some(({ name }) => name === only));
if (unknown.length > 0) {
  throw new Error(`--only ${unknown.join(', ')}: the steps are ${STEPS.map(({ name }) => name).join(', ')}`);
}

await mkdir(values.out, { recursive: true });
for (const step of STEPS.filter(({ name }) => values.only.includes(name))) await carryOut(step);

async function carryOut({ name, args, env = {} }) {
  const file = join(values.out, `${name}.${args.includes('--json') ? 'json' : 'md'}`);
  const [before] = loadavg();
  const began = performance.now();
  const stdio = ['ignore', 'pipe', 'inherit'];
  const child = spawn(execPath, args, { cwd: root, env: { ...process.env, ...env }, stdio });
  const ended = new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  await pipeline(child.stdout, createWriteStream(file));
  const code = await ended;
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  const load = `load ${before.toFixed(1)} before, ${loadavg()[0].toFixed(1)} after`;
  console.log(`${name}: ${code === 0 ? 'done' : `FAILED (${code})`}, ${seconds} s, ${load}: ${file}`);
  if (code !== 0) process.exitCode = 1;
}

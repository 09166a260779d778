import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHex } from '../../../../src/base/hex.js';
import { xorshiftBytes } from '../../../support/xorshift.js';
import { naiveTree } from '../../digest/engines.js';

const folder = mkdtempSync(join(tmpdir(), 'threads-'));
const bundle = join(folder, 'engine.mjs');

/** Runs a script in a process of its own, which must end by itself; gives its standard output. */
async function run(script: string): Promise<string> {
  const file = join(folder, `${Math.random()}.mjs`);
  writeFileSync(
    file,
    `import { createNodeEngine } from ${JSON.stringify(pathToFileURL(bundle).href)};
const engine = createNodeEngine('native');
const start = (byteLength) => engine.start({ byteLength, sha256: true, keep: 'root' });
${script}`,
  );
  const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: 15_000 });
  return stdout.trim();
}

beforeAll(async () => {
  await build({
    entryPoints: [fileURLToPath(new URL('../../../../src/node/digest/create-engine.ts', import.meta.url))],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'silent',
    banner: {
      js: 'import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);',
    },
  });
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('worker threads of the native engine, in a bundled program', () => {
  it('do not keep an idle process alive, and do keep one that waits for a digest', async () => {
    const out = await run(`
const stream = start(9_000_001);
await stream.update(new Uint8Array(9_000_001));
console.log(Buffer.from((await stream.finish()).root).toString('hex'));`);
    expect(out).toBe(toHex(naiveTree(new Uint8Array(9_000_001)).at(-1) ?? new Uint8Array()));
  });

  it('do not keep the process alive after abort, nor with a stream left open', async () => {
    const out = await run(`
const aborted = start(50_000_000);
await aborted.update(new Uint8Array(30_000_000));
aborted.abort();
const open = start(50_000_000);
await open.update(new Uint8Array(10_000_000));
console.log('end');`);
    expect(out).toBe('end');
  });

  it('hold a few MiB, whatever passes through', async () => {
    const out = await run(`
const chunk = new Uint8Array(1 << 20);
const pass = async (mebibytes) => {
  const stream = start(mebibytes << 20);
  for (let i = 0; i < mebibytes; i++) await stream.update(chunk);
  await stream.finish();
};
await pass(32);
const before = process.memoryUsage().rss;
let peak = 0;
const watch = setInterval(() => { peak = Math.max(peak, process.memoryUsage().rss); }, 2);
await pass(384);
clearInterval(watch);
console.log(Math.round((Math.max(peak, process.memoryUsage().rss) - before) / 2 ** 20));`);
    expect(Number(out)).toBeLessThan(48);
  });

  it('give the answers of one thread', async () => {
    const bytes = xorshiftBytes(12, 4_500_000);
    writeFileSync(join(folder, 'data.bin'), bytes);
    const out = await run(`
import { readFileSync } from 'node:fs';
const bytes = readFileSync(${JSON.stringify(join(folder, 'data.bin'))});
console.log(Buffer.from(await engine.leaves(bytes)).toString('hex'));`);
    expect(out).toBe(toHex(naiveTree(bytes)[0] ?? new Uint8Array()));
  });
});

import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DocExample, documentPaths, examplesOf } from '../../support/doc-examples.js';

// The examples use the built package by its name, as a reader would: npm run build comes first.
const root = fileURLToPath(new URL('../../../', import.meta.url));
const run = promisify(execFile);
const examples = documentPaths().flatMap(examplesOf);
/** These need WebGPU and take long on a software adapter: test/slow/engines-document.test.ts runs them. */
const needsEngine = ({ code }: DocExample): boolean => code.includes('onnxruntime-web');
/** These need CUDA: test/clients/share-cli.test.ts runs them over the test driver. */
const needsCuda = ({ code }: DocExample): boolean => code.includes('openShareServer');
/** These need a worker: test/cli/client-document.test.ts starts one. */
const needsWorker = ({ code }: DocExample): boolean => code.includes('vram-residency/client');
const TOKEN = Uint8Array.from({ length: 32 }, (_, index) => index + 1);

/** A safetensors file of one tensor, 4096 floats. */
function safetensors(): Uint8Array {
  const offsets = [0, 16_384];
  const header = JSON.stringify({
    'blk.0.attn_q.weight': { dtype: 'F32', shape: [64, 64], data_offsets: offsets },
  });
  const bytes = new Uint8Array(8 + header.length + 16_384).fill(0x3d);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(new TextEncoder().encode(header), 8);
  return bytes;
}

describe('examples in the documents', () => {
  let folder: string;

  beforeAll(() => {
    mkdirSync(`${root}.cache`, { recursive: true });
    // Within the package, so that its own name leads to it.
    folder = mkdtempSync(`${root}.cache/examples-`);
    mkdirSync(join(folder, 'model-dir'));
    writeFileSync(join(folder, 'model.safetensors'), safetensors());
    writeFileSync(join(folder, 'model-dir', 'model.safetensors'), safetensors());
    writeFileSync(join(folder, 'worker.token'), TOKEN, { mode: 0o600 });
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('are found', () => {
    expect(examples.length).toBeGreaterThanOrEqual(7);
    expect(examples.filter(({ forPages }) => forPages)).toHaveLength(6);
  });

  it('are what the types allow', { timeout: 60_000 }, async () => {
    const files = examples.map(({ code }, index) => {
      writeFileSync(join(folder, `typed-${index}.mts`), code);
      return `typed-${index}.mts`;
    });
    const options = [
      '--ignoreConfig',
      '--noEmit',
      '--strict',
      '--target',
      'ES2023',
      '--module',
      'NodeNext',
      '--skipLibCheck',
    ];
    // What README.md tells users of TypeScript to have.
    const lib = ['--lib', 'ES2023,DOM', '--types', 'node'];
    const tsc = `${root}node_modules/typescript/bin/tsc`;
    const compiled = run(process.execPath, [tsc, ...options, ...lib, ...files], { cwd: folder });
    const complaints = await compiled.then(
      () => '',
      (error: { readonly stdout?: string }) => String(error.stdout),
    );
    expect(complaints.replace(/typed-(\d+)\.mts/g, (_, index) => String(examples[Number(index)]?.name))).toBe(
      '',
    );
  });

  const elsewhere = (example: DocExample): boolean =>
    example.forPages || needsEngine(example) || needsCuda(example) || needsWorker(example);
  it.each(examples.filter((example) => !elsewhere(example)))(
    '$name runs',
    { timeout: 30_000 },
    async ({ code }) => {
      const cwd = mkdtempSync(join(folder, 'run-'));
      for (const name of ['model.safetensors', 'worker.token', 'model-dir']) {
        await run('cp', ['-R', join(folder, name), cwd]);
      }
      writeFileSync(join(cwd, 'example.mjs'), code);
      const { stderr } = await run(process.execPath, ['example.mjs', 'model.safetensors'], {
        cwd,
        env: { ...process.env, VRAM_RESIDENCY_FORCE_HOST: '1', XDG_STATE_HOME: join(cwd, 'state') },
      });
      expect(stderr).toBe('');
    },
  );

  it.each(examples.filter(({ forPages }) => forPages))('$name is bundled for pages', async ({ code }) => {
    writeFileSync(join(folder, 'page.js'), code);
    const { outputFiles, metafile } = await build({
      absWorkingDir: folder,
      entryPoints: ['page.js'],
      bundle: true,
      format: 'esm',
      platform: 'browser',
      write: false,
      metafile: true,
      logLevel: 'silent',
    });
    // A page whose manager lives in a worker has nothing of the library itself.
    const least = code.includes("from 'vram-residency") ? 50_000 : 100;
    expect(outputFiles[0]?.contents.length).toBeGreaterThan(least);
    const imported = Object.values(metafile.inputs).flatMap(({ imports }) => imports.map(({ path }) => path));
    expect(imported.filter((path) => path.startsWith('node:'))).toEqual([]);
  });
});

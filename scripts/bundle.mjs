// Bundles what users load into a few files, dist/bundle/lib/: reading 280 small modules takes longer than running them. The
// modules in dist/ stay as they are, for tests and scripts; the package carries the bundle, and the types beside the
// modules. docs/decisions/bundle.md
import { chmodSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

/**
 * Entries by the names of their files. All lie side by side and as deep as dist/node/addon/, as what is looked for relative
 * to them needs.
 */
export const BUNDLE_ENTRIES = {
  index: 'dist/index.js',
  browser: 'dist/browser.js',
  onnxruntime: 'dist/onnxruntime.js',
  'onnxruntime-browser': 'dist/onnxruntime-browser.js',
  client: 'dist/client.js',
  main: 'dist/cli/main.js',
  // Started as a worker, and as a process.
  'verify-worker': 'dist/node/audit/verify-worker.js',
  'probe-child': 'dist/node/devices/cuda/probe-child.js',
};

export const BUNDLE = 'dist/bundle/lib';

/** Bundles what tsc wrote. */
export async function bundle(root) {
  const fresh = `${BUNDLE}.${process.pid}`;
  await build({
    absWorkingDir: root,
    entryPoints: Object.entries(BUNDLE_ENTRIES).map(([out, path]) => ({ in: path, out })),
    outdir: fresh,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'neutral',
    target: 'es2023',
    packages: 'external',
    external: ['node:*'],
    chunkNames: 'chunk-[hash]',
    // Names of errors and classes are part of what users see; whitespace is all that is left to save.
    minifySyntax: false,
    legalComments: 'none',
    logLevel: 'warning',
  });
  chmodSync(join(root, fresh, 'main.js'), 0o755);
  // Files are put in place one by one: a process that runs meanwhile finds its chunks, whose names are their hashes.
  const target = join(root, BUNDLE);
  mkdirSync(target, { recursive: true });
  const names = readdirSync(join(root, fresh));
  for (const name of names) renameSync(join(root, fresh, name), join(target, name));
  rmSync(join(root, fresh), { recursive: true });
  for (const name of readdirSync(target)) if (!names.includes(name)) rmSync(join(target, name));
  return names.length;
}

// Bundles the contract suite and the CUDA groups into one file that runs without vitest. What they import from src/ stays outside: they
// test the package's dist/, not a second copy of it.
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('./', import.meta.url));
const root = fileURLToPath(new URL('../../../', import.meta.url));
const inTests = join(root, 'test');

/** Modules of the tests that have a substitute here: the runner, and the testbed over the test driver. */
const SUBSTITUTES = new Map([
  ['vitest', join(here, 'vitest.ts')],
  [join(inTests, 'support/cuda.js'), join(here, 'testbed.ts')],
]);

const substitutes = (dist) => ({
  name: 'suites',
  setup({ onResolve }) {
    onResolve({ filter: /^vitest$|^\./ }, ({ path, resolveDir }) => {
      const whole = path.startsWith('.') ? join(resolveDir, path) : path;
      const substitute = SUBSTITUTES.get(whole);
      if (substitute !== undefined) return { path: substitute };
      const inside = relative(join(root, 'src'), whole);
      return inside.startsWith('..') ? undefined : { path: `${dist}${inside}`, external: true };
    });
  },
});

/**
 * Writes the program to `outfile`. `dist` is where that file will find the package's dist folder, with a slash at its end: relative to
 * itself, or a file URL.
 */
export async function bundleSuites({ outfile, dist }) {
  await build({
    absWorkingDir: root,
    entryPoints: [join(here, 'main.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    plugins: [substitutes(dist)],
    logLevel: 'warning',
  });
}

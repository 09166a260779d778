// Bundles the contract suite and the CUDA groups into one file that runs without vitest. Imports from src/ become external
// imports from dist/: the suites test the package itself, not a second copy of it.
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('./', import.meta.url));
const root = fileURLToPath(new URL('../../../', import.meta.url));
const inTests = join(root, 'test');

/** Replaced in the bundle: the test runner, and the testbed over the test driver. */
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
 * Writes the program to `outfile`. `dist` is the package's dist folder as the program imports it, with a slash at its end:
 * a path relative to `outfile`, or a file URL.
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

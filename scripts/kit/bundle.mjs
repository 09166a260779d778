// Bundles the kit's own programs. Their imports from src/ stay external: the kit runs the package's dist/, not a second copy
// of it.
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { bundleSuites } from './suites/bundle.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Turns `../../src/x.js` into `../dist/x.js`, relative to the kit's folder of programs. */
const distForSrc = {
  name: 'dist-for-src',
  setup({ onResolve }) {
    onResolve({ filter: /\/src\/.*\.js$/ }, ({ path, resolveDir }) => {
      const inside = relative(join(root, 'src'), join(resolveDir, path));
      return inside.startsWith('..') ? undefined : { path: `../dist/${inside}`, external: true };
    });
  },
};

/** Writes main.mjs, steps.mjs and suites.mjs into `folder`, beside which dist/ will lie. */
export async function bundleKit(folder) {
  await build({
    absWorkingDir: root,
    entryPoints: { main: 'scripts/kit/runner/main.ts', steps: 'scripts/kit/steps/main.ts' },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    // Optional, and copied unchanged into the kit's node_modules.
    external: ['webgpu', 'onnxruntime-web'],
    plugins: [distForSrc],
    logLevel: 'warning',
  });
  await bundleSuites({ outfile: join(folder, 'suites.mjs'), dist: '../dist/' });
}

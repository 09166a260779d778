// Run by Stryker in its sandbox, see mutate-runner.mjs: compiles the TypeScript of src/ and test/, each file beside its
// source.
import { readdirSync } from 'node:fs';
import { build } from 'esbuild';

for (const folder of ['src', 'test']) {
  const entryPoints = readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
    .map((name) => `${folder}/${name}`);
  await build({
    entryPoints,
    outdir: folder,
    outbase: folder,
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
  });
}
await build({ entryPoints: ['vitest.stryker.config.ts'], outdir: '.', format: 'esm', logLevel: 'error' });

// npm run build: WASM, generated modules, TypeScript into dist/, what the service takes from others into one file there,
// and the bundle of what users load.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BUNDLE, bundle } from './bundle.mjs';
import { bundleServicePackages } from './service-packages.mjs';
import { removeStaleOutputs } from './stale-outputs.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const run = (file, ...args) =>
  execFileSync(process.execPath, [file, ...args], { cwd: root, stdio: 'inherit' });

run('scripts/build-wasm.mjs');
run('scripts/embed.mjs');
run('node_modules/typescript/bin/tsc', '-p', 'tsconfig.json');
// Files whose source was moved or deleted would be packed, and imported, as if they still had one.
const stale = removeStaleOutputs(`${root}src`, `${root}dist`, 'bundle');
if (stale.length > 0) console.log(`removed from dist/: ${stale.join(', ')}`);
await bundleServicePackages(root);
const bin = `${root}dist/cli/main.js`;
if (existsSync(bin)) chmodSync(bin, 0o755);
const files = await bundle(root);
console.log(`bundled into ${BUNDLE}: ${files} files`);

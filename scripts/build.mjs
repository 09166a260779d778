// npm run build: WASM, generated modules, then TypeScript into dist/.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const run = (file, ...args) =>
  execFileSync(process.execPath, [file, ...args], { cwd: root, stdio: 'inherit' });

run('scripts/build-wasm.mjs');
run('scripts/embed.mjs');
run('node_modules/typescript/bin/tsc', '-p', 'tsconfig.json');
const bin = `${root}dist/cli/main.js`;
if (existsSync(bin)) chmodSync(bin, 0o755);

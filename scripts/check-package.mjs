// npm run check:package: packs the package, unpacks it into an empty folder with only its dependencies, and uses it from
// there: the entries in Node, the types as a consumer sees them, the page entry through a bundler, and the program.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { BUNDLE, BUNDLE_ENTRIES } from './bundle.mjs';
import { OLDEST_GLIBC, portabilityProblems } from './portability.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'vram-package-'));
const run = (command, args, options = {}) =>
  execFileSync(command, args, { cwd: work, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options });
const checked = [];
/** The specifiers that users import, and their entries. */
const ENTRIES = [
  ['vram-residency', 'index', 'node'],
  ['vram-residency/browser', 'browser', 'browser'],
  ['vram-residency/client', 'client', 'node'],
  ['vram-residency/onnxruntime', 'onnxruntime', 'node'],
  ['vram-residency/onnxruntime', 'onnxruntime-browser', 'browser'],
];
const must = (what, condition) => {
  if (!condition) throw new Error(`package check failed: ${what}`);
  checked.push(what);
};

try {
  // --ignore-scripts: the output of prepack exists already, and a check must not change the tree.
  const [{ filename, files, size }] = JSON.parse(
    run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', work], { cwd: root }),
  );
  const paths = files.map(({ path }) => path);
  for (const path of [
    ...Object.keys(BUNDLE_ENTRIES).map((name) => `${BUNDLE}/${name}.js`),
    ...ENTRIES.map(([, name]) => `dist/${name}.d.ts`),
    'cuda/vram.ptx',
    'README.md',
    'CHANGELOG.md',
    'LICENSE',
  ]) {
    must(`contains ${path}`, paths.includes(path));
  }
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const [, newest] = /^## (\S+) - /m.exec(readFileSync(join(root, 'CHANGELOG.md'), 'utf8')) ?? [];
  must(`CHANGELOG.md begins with this version, ${version}`, newest === version);
  must(
    'contains no tests, sources, emulator, fixtures or variants of kernels',
    !paths.some((path) =>
      /^(src|test(?!\/vectors\/)|native\/emulator|cuda\/variants|\.cache|bench)\//.test(path),
    ),
  );
  must(
    'contains the bundle, not its modules',
    !paths.some((path) => /^dist\/.*\.js$/.test(path) && !path.startsWith(`${BUNDLE}/`)),
  );
  // They would point to sources that are not packed; the output of tsc is readable.
  must('contains no source maps', !paths.some((path) => path.endsWith('.map')));
  must(`is under 4 MB packed (${size} bytes)`, size < 4e6);

  const home = join(work, 'node_modules', 'vram-residency');
  mkdirSync(home, { recursive: true });
  run('tar', ['-xzf', filename, '-C', home, '--strip-components=1']);
  for (const path of paths.filter((name) => name.endsWith('.node'))) {
    const problems = portabilityProblems(readFileSync(join(home, path)));
    must([`its ${path} runs on glibc ${OLDEST_GLIBC}`, ...problems].join('\n  '), problems.length === 0);
  }
  const documents = paths.filter((path) => path.endsWith('.md'));
  const dead = documents.flatMap((path) =>
    relativeLinks(readFileSync(join(home, path), 'utf8'))
      .filter((link) => !paths.includes(normalize(join(dirname(path), link))))
      .map((link) => `${path} -> ${link}`),
  );
  must(['its documents link only to packed files', ...dead].join('\n  '), dead.length === 0);
  must(
    'names no source map in its code',
    !readFileSync(join(home, BUNDLE, 'index.js'), 'utf8').includes('sourceMappingURL'),
  );

  const {
    dependencies,
    optionalDependencies,
    scripts = {},
  } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  must(
    'runs no script on install',
    !['preinstall', 'install', 'postinstall', 'prepare'].some((name) => name in scripts),
  );
  for (const name of [...Object.keys(dependencies), ...transitive(Object.keys(dependencies))]) link(name);

  writeFileSync(
    join(work, 'use.mjs'),
    `import { bytesSource, VramManager } from 'vram-residency';
     const manager = await VramManager.open({ device: 'host', policy: 'any', workerId: 'package' });
     const shard = await manager.seal(bytesSource(new Uint8Array(10000).fill(7)));
     const { verified } = await manager.verify(shard);
     await manager.close();
     console.log(verified, shard.fsverity.length);`,
  );
  writeFileSync(join(work, 'package.json'), '{"type":"module"}');
  must(
    'seals and verifies in Node without the optional webgpu',
    run(process.execPath, ['use.mjs']).startsWith('true '),
  );
  for (const [specifier, name, condition] of ENTRIES) {
    const namesOf = (what) =>
      run(process.execPath, [
        ...(condition === 'browser' ? ['--conditions=browser'] : []),
        '--input-type=module',
        '-e',
        `console.log(Object.keys(await import(${JSON.stringify(what)})).sort().join())`,
      ]);
    const packed = condition === 'browser' ? `${pathToFileURL(join(home, BUNDLE, name))}.js` : specifier;
    must(
      `exports from ${specifier} (${name}) what its module exports`,
      namesOf(packed) === namesOf(`${pathToFileURL(join(root, 'dist', name))}.js`),
    );
  }
  must(
    'runs as a program',
    /^\d+\.\d+\.\d+/.test(run(process.execPath, [join(home, BUNDLE, 'main.js'), '--version'])),
  );
  must(
    'says what is missing where webgpu is not installed',
    /webgpu: not available: /.test(run(process.execPath, [join(home, BUNDLE, 'main.js'), 'devices'])),
  );

  writeFileSync(
    join(work, 'engine.mjs'),
    `import { sealOnnx } from 'vram-residency/onnxruntime';
     import { bytesSource, VramManager } from 'vram-residency';
     const manager = await VramManager.open({ device: 'host', policy: 'any', workerId: 'package' });
     await sealOnnx(manager, bytesSource(new Uint8Array(8))).catch(({ message }) => console.log(message));
     await manager.close();`,
  );
  must(
    'has its entry for ONNX Runtime without the optional onnxruntime-web',
    run(process.execPath, ['engine.mjs']).includes('an engine needs a GPU device'),
  );

  for (const name of Object.keys(optionalDependencies)) link(name);
  writeFileSync(
    join(work, 'use.ts'),
    `import { type SealedShard, VramManager, isVramError } from 'vram-residency';
     export async function seal(): Promise<SealedShard | null> {
       const manager = await VramManager.open({ workerId: 'types' });
       try { return await manager.seal(await (await import('vram-residency')).fileSource('x')); }
       catch (error) { if (isVramError(error, 'NOT_FOUND')) return null; throw error; }
     }`,
  );
  // Without the types of onnxruntime-web: the entry declares the parts of the engine that it uses.
  writeFileSync(
    join(work, 'engine.ts'),
    `import { createSession, type Engine, type EngineTensor, run, type SealedOnnx } from 'vram-residency/onnxruntime';
     import type { Device } from 'vram-residency';
     export async function binds(ort: Engine<EngineTensor>, sealed: SealedOnnx, device: Device): Promise<number> {
       const session = await createSession(ort, sealed, { device });
       return (await run(session, {}, { maxAgeMs: 1000 })).witness.binds;
     }`,
  );
  // No skipLibCheck, so the package's own types are checked too. The DOM library of TypeScript 7 declares WebGPU.
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  for (const name of ['@types/node', 'undici-types']) link(name);
  for (const [module, resolution] of [
    ['NodeNext', 'NodeNext'],
    ['ESNext', 'Bundler'],
  ]) {
    const options = [
      '--noEmit',
      '--strict',
      '--target',
      'ES2023',
      '--module',
      module,
      '--moduleResolution',
      resolution,
    ];
    const lib = ['--lib', 'ES2023,DOM,DOM.Iterable,ESNext.Disposable', '--types', ''];
    run(process.execPath, [tsc, ...options, ...lib, 'use.ts', 'engine.ts']);
    checked.push(`its types resolve with ${resolution}`);
    // The settings that README.md requires of TypeScript users.
    for (const said of [
      ['--lib', 'ES2023,DOM', '--types', 'node'],
      ['--lib', 'ES2023', '--types', 'node', '--skipLibCheck'],
    ]) {
      run(process.execPath, [tsc, ...options, ...said, 'use.ts', 'engine.ts']);
      checked.push(`its types compile under ${said.join(' ')} with ${resolution}`);
    }
  }

  for (const [entry, name, exported] of [
    ['the package', 'vram-residency', 'VramManager'],
    ['its entry for ONNX Runtime', 'vram-residency/onnxruntime', 'sealOnnx, createSession, run'],
  ]) {
    writeFileSync(join(work, 'page.js'), `export { ${exported} } from '${name}';`);
    const bundle = await build({
      absWorkingDir: work,
      entryPoints: ['page.js'],
      bundle: true,
      minify: true,
      format: 'esm',
      platform: 'browser',
      write: false,
      metafile: true,
      logLevel: 'silent',
    });
    const inputs = Object.values(bundle.metafile.inputs);
    must(
      `bundles ${entry} for pages without a Node module`,
      inputs.length > 1 &&
        !inputs.some(({ imports }) => imports.some(({ path }) => path.startsWith('node:'))),
    );
    const { length } = gzipSync(bundle.outputFiles[0].contents);
    must(`${entry} is under 80 kB in a page, minified and gzipped (${length} bytes)`, length < 80_000);
  }
  console.log(
    `package: ${filename}, ${size} bytes packed, ${paths.length} files; ${checked.length} checks passed`,
  );
} catch (error) {
  console.error(String(error.stderr || error.stdout || error.stack).slice(0, 4000));
  process.exitCode = 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** The files that a Markdown text links to, without URLs and anchors in itself. */
function relativeLinks(text) {
  return [...text.matchAll(/\]\(([^)\s#:]+)(?:#[^)\s]*)?\)/g)].map(([, path]) => path);
}

function link(name) {
  const target = join(work, 'node_modules', name);
  if (existsSync(target) || !existsSync(join(root, 'node_modules', name))) return;
  mkdirSync(dirname(target), { recursive: true });
  symlinkSync(join(root, 'node_modules', name), target);
}

/** The dependencies of the dependencies, as npm installed them beside these. */
function transitive(names, seen = new Set(names)) {
  for (const name of [...names]) {
    const path = join(root, 'node_modules', name, 'package.json');
    if (!existsSync(path)) continue;
    const found = Object.keys(JSON.parse(readFileSync(path, 'utf8')).dependencies ?? {}).filter(
      (next) => !seen.has(next),
    );
    for (const next of found) seen.add(next);
    transitive(found, seen);
  }
  return seen;
}

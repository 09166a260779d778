// Compiles the CUDA test driver (native/emulator) with the local C++ compiler: `$CXX`, c++, g++ or clang++. Nothing is
// downloaded. `--sanitize` builds a second one under AddressSanitizer and UndefinedBehaviorSanitizer, `--sanitize=thread`
// one under ThreadSanitizer; `--force` compiles in any case.
// Prints the library's path as its last line. Exit code 3: no compiler.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  COMPAT_SOURCE,
  compileFlags,
  findCompiler,
  linkFlags,
  NO_COMPILER,
  sanitizedFolder,
  sanitizerOf,
} from './native-toolchain.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'native/emulator');
const sanitize = sanitizerOf(process.argv);
const output = join(folder, 'build', sanitizedFolder(sanitize), 'libcuda.so.1');

/** The interpreter's loop. The rest is compiled for a fast build, not for fast code. */
const HOT = 'execute.cc';
const FLAGS = compileFlags({ sanitize });
const compiler = findCompiler();
if (compiler === null) {
  console.error('build:emulator needs a C++17 compiler (c++, g++ or clang++, or $CXX); none was found');
  process.exit(NO_COMPILER);
}
const LINK_FLAGS = linkFlags(compiler, { sanitize, exportsMap: join(folder, 'exports.map') });

function run(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', () => resolve(false));
    child.on('close', (code) => resolve(code === 0));
  });
}

const inFolder = (pattern) =>
  readdirSync(folder)
    .filter((name) => pattern.test(name))
    .map((name) => join(folder, name));
const sources = [...inFolder(/\.cc$/), ...(sanitize === null ? [COMPAT_SOURCE] : [])];
const inputs = [...sources, ...inFolder(/\.(h|map)$/), join(root, 'native/driver_api.h')];

function stamp() {
  const hash = createHash('sha256').update(JSON.stringify([compiler, FLAGS, LINK_FLAGS, HOT]));
  for (const path of inputs) hash.update(basename(path)).update('\0').update(readFileSync(path));
  return hash.digest('hex');
}

async function compile() {
  // Private to this process, because two builds may run at once.
  const objects = join(dirname(output), `objects.${process.pid}`);
  mkdirSync(objects, { recursive: true });
  try {
    return await compileInto(objects);
  } finally {
    rmSync(objects, { recursive: true, force: true });
  }
}

async function compileInto(objects) {
  const objectOf = (source) => join(objects, `${basename(source)}.o`);
  const queue = [...sources];
  const results = [];
  const worker = async () => {
    for (let source = queue.shift(); source !== undefined; source = queue.shift()) {
      const optimise = basename(source) === HOT ? '-O3' : '-O1';
      const made = [...FLAGS, ...(sanitize === null ? [optimise] : []), '-c', source, '-o', objectOf(source)];
      results.push(await run(compiler.command, made));
    }
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), 4) }, worker));
  if (results.includes(false)) return false;
  // Linked under another name and renamed, so a process that has the old library open keeps it intact.
  const temporary = `${output}.${process.pid}`;
  const linked = await run(compiler.command, [
    ...sources.map(objectOf),
    ...LINK_FLAGS,
    '-Wl,-soname,libcuda.so.1',
    '-o',
    temporary,
  ]);
  if (linked) renameSync(temporary, output);
  return linked;
}

const current = stamp();
const stampFile = `${output}.stamp`;
const fresh = existsSync(output) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === current;
if (!fresh || process.argv.includes('--force')) {
  if (!(await compile())) process.exit(1);
  writeFileSync(stampFile, current);
  console.error(`compiled with ${compiler.version}`);
}
console.log(output);

// Compiles the CUDA test driver (native/emulator) with the C++ compiler at hand: `$CXX`, c++, g++ or clang++. Nothing is fetched.
// `--sanitize` builds a second one under AddressSanitizer and UndefinedBehaviorSanitizer; `--force` compiles in any case.
// Prints the library's path as its last line. Exit code 3: no compiler.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'native/emulator');
const headers = join(root, 'node_modules/node-api-headers/include');
const sanitize = process.argv.includes('--sanitize');
const output = join(folder, 'build', sanitize ? 'sanitize' : '', 'libcuda.so.1');

/** The interpreter's loop; the rest is compiled fast rather than made fast. */
const HOT = 'execute.cc';
const FLAGS = [
  '-std=c++17',
  '-fPIC',
  '-fvisibility=hidden',
  '-pthread',
  '-Wall',
  '-Wextra',
  '-Werror',
  ...(sanitize
    ? [
        '-O1',
        '-g',
        '-fno-omit-frame-pointer',
        '-fsanitize=address,undefined',
        '-fno-sanitize-recover=undefined',
      ]
    : []),
];

function findCompiler() {
  const candidates = process.env['CXX'] ? [process.env['CXX']] : ['c++', 'g++', 'clang++'];
  for (const name of candidates) {
    const asked = spawnSync(name, ['--version'], { encoding: 'utf8' });
    if (asked.status === 0) return { name, version: asked.stdout.split('\n')[0] };
  }
  return null;
}

function run(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', () => resolve(false));
    child.on('close', (code) => resolve(code === 0));
  });
}

const sources = readdirSync(folder).filter((name) => name.endsWith('.cc'));
const inputs = readdirSync(folder).filter((name) => /\.(cc|h)$/.test(name));

function stamp(compiler) {
  const hash = createHash('sha256').update(JSON.stringify([compiler, FLAGS, HOT, process.arch]));
  for (const name of [...inputs.map((input) => join(folder, input)), join(root, 'native/driver_api.h')]) {
    hash.update(basename(name)).update('\0').update(readFileSync(name));
  }
  return hash.digest('hex');
}

async function compile(compiler) {
  // Of this process alone: two builds may run at once.
  const objects = join(dirname(output), `objects.${process.pid}`);
  mkdirSync(objects, { recursive: true });
  try {
    return await compileInto(objects, compiler);
  } finally {
    rmSync(objects, { recursive: true, force: true });
  }
}

async function compileInto(objects, compiler) {
  const queue = [...sources];
  const results = [];
  const worker = async () => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const made = [
        ...FLAGS,
        ...(sanitize ? [] : [name === HOT ? '-O3' : '-O1']),
        '-isystem',
        headers,
        '-c',
        join(folder, name),
        '-o',
        join(objects, `${name}.o`),
      ];
      results.push(await run(compiler.name, made));
    }
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), 4) }, worker));
  if (results.includes(false)) return false;
  // Linked aside and renamed: a process that has the old library open keeps it whole.
  const temporary = `${output}.${process.pid}`;
  const linked = await run(compiler.name, [
    ...FLAGS,
    '-shared',
    '-Wl,-soname,libcuda.so.1',
    ...sources.map((name) => join(objects, `${name}.o`)),
    '-o',
    temporary,
  ]);
  if (linked) renameSync(temporary, output);
  return linked;
}

const compiler = findCompiler();
if (compiler === null) {
  console.error('build:emulator needs a C++17 compiler (c++, g++ or clang++, or $CXX); none was found');
  process.exit(3);
}
const wanted = stamp(compiler);
const stampFile = `${output}.stamp`;
const fresh = existsSync(output) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === wanted;
if (!fresh || process.argv.includes('--force')) {
  if (!(await compile(compiler))) process.exit(1);
  writeFileSync(stampFile, wanted);
  console.error(`compiled with ${compiler.version}`);
}
console.log(output);

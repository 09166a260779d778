// npm run build:native: compiles the Node-API addon with the C++ compiler of the machine. Nothing is downloaded: the
// headers are those of the package node-api-headers. Options: --sanitize (AddressSanitizer and
// UndefinedBehaviorSanitizer, into native/build/sanitize); --sanitize=thread (ThreadSanitizer, into
// native/build/sanitize-thread); --measure (also measure.node, with which the hardware kit times the driver's own copies).
// Exit codes: 0 built or up to date, 1 the compiler refused the code, 3 there is no compiler or no Linux.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
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
import { OLDEST_GLIBC, portabilityProblems } from './portability.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = `${root}native/src/`;
const sanitize = sanitizerOf(process.argv);
const out = join(root, 'native/build', sanitizedFolder(sanitize), '/');
const addon = `${out}vram_residency.node`;

const flags = [
  ...compileFlags({ sanitize }),
  '-fno-semantic-interposition',
  '-Wshadow',
  '-DNAPI_VERSION=8',
  ...(sanitize === null ? ['-O2'] : []),
];

function leave(code, message) {
  process.stderr.write(`build:native: ${message}\n`);
  process.exit(code);
}

if (process.platform !== 'linux') {
  leave(
    3,
    `the CUDA addon is built on Linux alone, not on ${process.platform}; other backends are not affected`,
  );
}
const compiler = findCompiler();
if (compiler === null) {
  const named = process.env.CXX ? `"${process.env.CXX}" does not run` : 'c++, g++ and clang++ do not run';
  leave(NO_COMPILER, `no C++ compiler: ${named}; install g++ or clang++, or name one in CXX`);
}
const link = linkFlags(compiler, { sanitize, exportsMap: `${root}native/exports.map` });
if (!existsSync(`${root}node_modules/node-api-headers/include/node_api.h`)) {
  leave(NO_COMPILER, 'the package node-api-headers is missing; run npm ci');
}

/** The dependencies of an object file: all headers, since there are few. */
const found = readdirSync(sources, { recursive: true, encoding: 'utf8' }).sort();
const headers = [
  ...found.filter((name) => name.endsWith('.h')).map((name) => `${sources}${name}`),
  `${root}native/driver_api.h`,
];
const newestHeader = Math.max(...headers.map((path) => statSync(path).mtimeMs));
const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

const units = found.filter((name) => name.endsWith('.cc')).map((name) => `${sources}${name}`);
if (sanitize === null) units.push(COMPAT_SOURCE);

mkdirSync(out, { recursive: true });
// With another compiler, other flags or other files everything is compiled again.
const recipe = JSON.stringify([compiler, flags, link, units]);
const recipeFile = `${out}recipe.json`;
const sameRecipe = existsSync(recipeFile) && readFileSync(recipeFile, 'utf8') === recipe;

const run = (args) => {
  const result = spawnSync(compiler.command, args, { stdio: 'inherit' });
  if (result.status !== 0) leave(1, 'the compiler refused the code');
};

/** Renamed into place, so that concurrent builds and processes with the old addon always see a complete file. */
function make(target, args) {
  const fresh = `${target}.${process.pid}`;
  run([...args, '-o', fresh]);
  renameSync(fresh, target);
}

/** The object file of a source, compiled again if something changed. */
function compile(source) {
  const object = `${out}${basename(source, '.cc')}.o`;
  if (!sameRecipe || modified(object) <= Math.max(modified(source), newestHeader)) {
    make(object, [...flags, '-c', source]);
  }
  return object;
}

/** Links an addon of these object files, unless it is newer than all of them. */
function linkAddon(target, objects) {
  const newest = Math.max(...objects.map(modified));
  const shown = target.slice(root.length);
  if (sameRecipe && modified(target) >= newest) {
    process.stdout.write(`build:native: ${shown} is up to date\n`);
    return;
  }
  make(target, [...objects, ...link]);
  process.stdout.write(`build:native: built ${shown} (${statSync(target).size} bytes)\n`);
  // Good enough for this machine; prepack refuses to ship it, and a test fails.
  const problems = sanitize === null ? portabilityProblems(readFileSync(target)) : [];
  if (problems.length > 0) {
    process.stderr.write(
      `build:native: it does not run on every system with glibc ${OLDEST_GLIBC}: ${problems.join(', ')}\n`,
    );
  }
}

const objects = units.map(compile);
linkAddon(addon, objects);
if (process.argv.includes('--measure')) {
  const shared = objects.filter((path) => basename(path) !== 'addon.o');
  linkAddon(`${out}measure.node`, [...shared, compile(`${root}native/measure/measure.cc`)]);
}
if (!sameRecipe) writeFileSync(recipeFile, recipe);

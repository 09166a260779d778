// npm run build:native: compiles the Node-API addon with the C++ compiler of the machine. Nothing is downloaded: the headers are those of the
// package node-api-headers. Options: --sanitize (AddressSanitizer and UndefinedBehaviorSanitizer, into native/build/sanitize).
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
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = `${root}native/src/`;
const sanitize = process.argv.includes('--sanitize');
const out = `${root}native/build/${sanitize ? 'sanitize/' : ''}`;
const addon = `${out}vram_residency.node`;

const compiler = process.env.CXX || 'c++';
const flags = [
  '-std=c++17',
  '-fPIC',
  '-fvisibility=hidden',
  '-fno-semantic-interposition',
  '-pthread',
  '-Wall',
  '-Wextra',
  '-Wshadow',
  '-Werror',
  '-DNAPI_VERSION=8',
  `-I${root}node_modules/node-api-headers/include`,
  ...(sanitize
    ? [
        '-O1',
        '-g',
        '-fsanitize=address,undefined',
        '-fno-sanitize-recover=undefined',
        '-fno-omit-frame-pointer',
      ]
    : ['-O2', '-ffunction-sections', '-fdata-sections']),
];
const linkFlags = [
  '-shared',
  '-pthread',
  '-ldl',
  ...(sanitize
    ? ['-fsanitize=address,undefined']
    : [
        '-static-libstdc++',
        '-static-libgcc',
        '-Wl,--gc-sections',
        '-Wl,--exclude-libs,ALL',
        '-Wl,-z,relro,-z,now',
        `-Wl,--version-script=${root}native/exports.map`,
      ]),
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
const version = spawnSync(compiler, ['--version'], { encoding: 'utf8' });
if (version.error || version.status !== 0) {
  leave(3, `no C++ compiler: "${compiler}" does not run; install g++ or clang++, or name one in CXX`);
}
if (!existsSync(`${root}node_modules/node-api-headers/include/node_api.h`)) {
  leave(3, 'the package node-api-headers is missing; run npm ci');
}

/** What an object file depends on; all headers, since there are few. */
const headers = [
  ...readdirSync(sources)
    .filter((name) => name.endsWith('.h'))
    .map((name) => `${sources}${name}`),
  `${root}native/driver_api.h`,
];
const newestHeader = Math.max(...headers.map((path) => statSync(path).mtimeMs));
const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

mkdirSync(out, { recursive: true });
// Another compiler or other flags: everything is compiled again.
const recipe = JSON.stringify([compiler, version.stdout.split('\n')[0], flags, linkFlags]);
const recipeFile = `${out}recipe.json`;
const sameRecipe = existsSync(recipeFile) && readFileSync(recipeFile, 'utf8') === recipe;

const run = (args) => {
  const result = spawnSync(compiler, args, { stdio: 'inherit' });
  if (result.status !== 0) leave(1, 'the compiler refused the code');
};

/** Put in place in one step: two builds at once, or a process that holds the old addon, see a whole file. */
function make(target, args) {
  const fresh = `${target}.${process.pid}`;
  run([...args, '-o', fresh]);
  renameSync(fresh, target);
}

const units = readdirSync(sources)
  .filter((name) => name.endsWith('.cc'))
  .sort();
const objects = units.map((name) => `${out}${name.slice(0, -3)}.o`);
let compiled = 0;
for (const [i, name] of units.entries()) {
  const source = `${sources}${name}`;
  const object = objects[i];
  if (sameRecipe && modified(object) > Math.max(modified(source), newestHeader)) continue;
  make(object, [...flags, '-c', source]);
  compiled++;
}
const newestObject = Math.max(...objects.map(modified));
if (compiled > 0 || modified(addon) < newestObject) {
  make(addon, [...objects, ...linkFlags]);
  writeFileSync(recipeFile, recipe);
  process.stdout.write(`build:native: built ${addon.slice(root.length)} (${statSync(addon).size} bytes)\n`);
} else {
  process.stdout.write(`build:native: ${addon.slice(root.length)} is up to date\n`);
}

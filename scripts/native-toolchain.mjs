// The C++ compiler and its flags, for the addon (build-native.mjs) and the test driver (build-emulator.mjs) alike.
// What they build runs on glibc 2.28, however new the glibc here is: docs/decisions/addon-glibc.md.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Exit code of both scripts where there is no compiler. */
export const NO_COMPILER = 3;

/** Compiled into both libraries; empty where the C library is not glibc. */
export const COMPAT_SOURCE = fileURLToPath(new URL('../native/glibc_compat.cc', import.meta.url));

const HEADERS = fileURLToPath(new URL('../node_modules/node-api-headers/include', import.meta.url));

/** What `--sanitize` and `--sanitize=thread` compile in. The two cannot be combined. */
const SANITIZERS = {
  address: ['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'],
  thread: ['-fsanitize=thread'],
};

/** 'address', 'thread', or null without the option. */
export function sanitizerOf(args) {
  if (args.includes('--sanitize')) return 'address';
  return args.includes('--sanitize=thread') ? 'thread' : null;
}

/** Name of the folder below a build folder: '' for the build that is shipped. */
export function sanitizedFolder(sanitize) {
  if (sanitize === null) return '';
  return sanitize === 'address' ? 'sanitize' : `sanitize-${sanitize}`;
}

/** `$CXX`, else the first of c++, g++ and clang++ that runs; null where none does. */
export function findCompiler() {
  for (const command of process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++']) {
    const version = ask(command, '--version');
    const target = ask(command, '-dumpmachine');
    if (version !== null && target !== null) return { command, version, target };
  }
  return null;
}

function ask(command, option) {
  const answer = spawnSync(command, [option], { encoding: 'utf8', timeout: 30_000 });
  return answer.status === 0 ? answer.stdout.split('\n')[0] : null;
}

/** Flags of every source file. How far it is optimised is the caller's choice, except under the sanitizers. */
export function compileFlags({ sanitize }) {
  return [
    '-std=c++17',
    '-fPIC',
    '-fvisibility=hidden',
    '-pthread',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-isystem',
    HEADERS,
    ...(sanitize === null
      ? ['-ffunction-sections', '-fdata-sections']
      : ['-O1', '-g', ...SANITIZERS[sanitize], '-fno-omit-frame-pointer']),
  ];
}

/** Flags that link a shared library which exports what the version script `exportsMap` names, and nothing else. */
export function linkFlags(compiler, { sanitize, exportsMap }) {
  // The sanitizers put themselves in the place of libc's functions, so such a build stays on the machine that made it.
  // Bound to its own functions: Node exports templates of the standard library, which nobody instrumented.
  if (sanitize !== null) return ['-shared', '-pthread', '-ldl', '-Wl,-Bsymbolic', ...SANITIZERS[sanitize]];
  return [
    '-shared',
    '-pthread',
    '-ldl',
    // libstdc++ goes in, since that of an older system lacks what a newer compiler calls. libgcc stays out, since the
    // static one calls _dl_find_object of glibc 2.35; Node needs libgcc_s.so.1 itself, so it is there.
    '-static-libstdc++',
    ...(isGlibc(compiler) ? SEPARATE_LIBRARIES : []),
    '-Wl,--gc-sections',
    '-Wl,--exclude-libs,ALL',
    '-Wl,-z,relro,-z,now',
    `-Wl,--version-script=${exportsMap}`,
  ];
}

/**
 * Where threads and dlopen are before glibc 2.34. Later ones keep both files, without functions, so that a linker which
 * is left to itself names neither.
 */
const SEPARATE_LIBRARIES = [
  '-Wl,--push-state,--no-as-needed',
  '-l:libpthread.so.0',
  '-l:libdl.so.2',
  '-Wl,--pop-state',
];

/** Debian's names of targets end in -linux-gnu, those of Fedora and SUSE in -linux. */
function isGlibc({ target }) {
  return !/musl|android|uclibc/.test(target);
}

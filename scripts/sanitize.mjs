// npm run sanitize [-- --thread] [TEST...]: builds addon and test driver with AddressSanitizer and
// UndefinedBehaviorSanitizer, or with ThreadSanitizer, and runs tests over them (by default those of the addon, and those
// of its sockets). A finding fails the run and is printed by the sanitizer; its exit code is that of the tests.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { findCompiler, NO_COMPILER, sanitizedFolder, sanitizerOf } from './native-toolchain.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const SOCKETS = ['test/unit/handover', 'test/clients/share-processes.test.ts'];
const TESTS = {
  address: ['test/cuda', 'test/contract/cuda.test.ts', ...SOCKETS],
  // Our own threads are in the sockets and the device's copies. The whole sweep would take hours.
  thread: [
    'test/cuda/memory-operations.test.ts',
    'test/cuda/uploads.test.ts',
    'test/unit/digest',
    'test/unit/node/digest',
    'test/unit/manager/operations/load.test.ts',
    ...SOCKETS,
  ],
};
const LIBRARIES = { address: ['libasan.so', 'libubsan.so'], thread: ['libtsan.so'] };
const SETTINGS = {
  // Node itself leaks memory at exit.
  ASAN_OPTIONS: 'detect_leaks=0',
  // Node and V8 are not instrumented. Their synchronisation is invisible, so their own accesses are ignored.
  TSAN_OPTIONS: 'ignore_noninstrumented_modules=1:halt_on_error=1:exitcode=66',
};

const args = process.argv.slice(2);
const flag = args.includes('--thread') ? '--sanitize=thread' : '--sanitize';
const sanitize = sanitizerOf([flag]);
const named = args.filter((argument) => argument !== '--thread');

const compiler = findCompiler();
if (compiler === null) {
  console.error('sanitize: needs a C++17 compiler (c++, g++ or clang++, or $CXX); none was found');
  process.exit(NO_COMPILER);
}

function run(command, commandArgs, env = {}) {
  const { status } = spawnSync(command, commandArgs, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  if (status !== 0) process.exit(status ?? 1);
}

function libraryPath(name) {
  const { stdout } = spawnSync(compiler.command, [`-print-file-name=${name}`], { encoding: 'utf8' });
  const path = stdout.trim();
  if (!path.startsWith('/')) {
    console.error(`sanitize: ${compiler.command} has no ${name}`);
    process.exit(NO_COMPILER);
  }
  return path;
}

const preloaded = LIBRARIES[sanitize].map(libraryPath).join(' ');
for (const script of ['build-native.mjs', 'build-emulator.mjs']) {
  run(process.execPath, [`${root}scripts/${script}`, flag]);
}
run(
  process.execPath,
  [`${root}node_modules/vitest/vitest.mjs`, 'run', ...(named.length > 0 ? named : TESTS[sanitize])],
  {
    ...SETTINGS,
    LD_PRELOAD: preloaded,
    // nvcc crashes under a preloaded sanitizer.
    NVCC: 'none',
    VRAM_RESIDENCY_TEST_SANITIZE: sanitize,
    VRAM_EMULATOR_LIBRARY: `${root}native/emulator/build/${sanitizedFolder(sanitize)}/libcuda.so.1`,
  },
);

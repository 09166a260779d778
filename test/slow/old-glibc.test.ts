import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { arch, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { findCompiler } from '../../scripts/native-toolchain.mjs';
import { portabilityProblems } from '../../scripts/portability.mjs';
import { describeCuda, testDriverPath } from '../cuda/testbed.js';
import type { PresentTestbed } from '../support/cuda.js';
import type { OldRoot } from '../support/old-root.js';
import { oldRoot } from '../support/old-root.js';

const project = fileURLToPath(new URL('../../', import.meta.url));
const old = await oldRoot();

/** The package as a user has it, the addon of this machine's compiler in it, on the system of Debian 11. */
describeCuda('cuda: an old system', (bed) => {
  if (old.missing === null) tests(bed, old);
  else it.skip(`NOT RUN: ${old.missing}`);
});

function tests(bed: PresentTestbed, root: OldRoot): void {
  const installed = '/opt/vram-residency';
  const addon = `native/prebuilt/linux-${arch}/vram_residency.node`;
  const driver = `${installed}/libcuda.so.1`;
  const program = `${installed}/program.mjs`;
  const inRoot = (path: string) => join(root.path, path);

  async function node(args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await root.run('/opt/node', args, { VRAM_RESIDENCY_LIBCUDA: driver });
    if (status !== 0) throw new Error(`node ${args.join(' ')} ended with ${status}:\n${stdout}${stderr}`);
    return stdout;
  }

  beforeAll(() => {
    if (!existsSync(join(project, 'dist/bundle/lib/index.js')))
      throw new Error('dist is not built: npm run build');
    rmSync(inRoot('opt'), { recursive: true, force: true });
    mkdirSync(dirname(inRoot(join(installed, addon))), { recursive: true });
    copyFileSync(execPath, inRoot('opt/node'));
    copyFileSync(bed.addonPath, inRoot(join(installed, addon)));
    copyFileSync(testDriverPath(bed), inRoot(driver));
    for (const path of ['package.json', 'dist', ...dependencies()]) {
      cpSync(join(project, path), inRoot(join(installed, path)), { recursive: true });
    }
    writeFileSync(inRoot(program), PROGRAM);
  });

  it('has glibc 2.31', async () => {
    const { stdout } = await root.run('/usr/bin/getconf', ['GNU_LIBC_VERSION']);
    expect(stdout).toBe('glibc 2.31\n');
  });

  it('opens the device, seals and verifies; a flipped bit is found', async () => {
    expect(JSON.parse(await node([program, driver]))).toEqual({
      verified: true,
      damaged: 'INTEGRITY_VIOLATION',
    });
  });

  describe('an addon linked without our flags', () => {
    const plain = inRoot('opt/plain.node');
    beforeAll(() => {
      const compiler = findCompiler()?.command;
      if (compiler === undefined) throw new Error('the compiler is gone');
      const source = `
        #include <pthread.h>
        extern "C" int start(pthread_t* thread, void* (*run)(void*)) {
          return pthread_create(thread, nullptr, run, nullptr);
        }`;
      execFileSync(compiler, ['-shared', '-fPIC', '-pthread', '-x', 'c++', '-', '-o', plain], {
        input: source,
      });
    });

    it('is refused there, and the user is told what to do', async (context) => {
      if (portabilityProblems(readFileSync(plain)).length === 0) {
        context.skip('NOT RUN: the glibc here is too old to make such an addon');
      }
      const kept = readFileSync(inRoot(join(installed, addon)));
      copyFileSync(plain, inRoot(join(installed, addon)));
      try {
        expect(await node([`${installed}/dist/bundle/lib/main.js`, 'devices'])).toMatch(
          /cuda: not available: the CUDA addon needs GLIBC_2\.34, .*\(glibc 2\.31\) lacks; .*glibc 2\.28 or newer/,
        );
      } finally {
        writeFileSync(inRoot(join(installed, addon)), kept);
      }
    });
  });
}

/** Folders of what the package needs at run time, the optional WebGPU apart. */
function dependencies(): readonly string[] {
  const listed = execFileSync('npm', ['ls', '--omit=dev', '--omit=optional', '--all', '--parseable'], {
    cwd: project,
    encoding: 'utf8',
  });
  return listed
    .trim()
    .split('\n')
    .map((path) => relative(project, path))
    .filter((path) => path !== '');
}

const PROGRAM = `
import { bytesSource, isVramError, VramManager } from './dist/index.js';
const control = { exports: {} };
process.dlopen(control, process.argv[2]);
const { allocations, flip, peek } = control.exports;
const manager = await VramManager.open({ device: 'cuda:0', policy: 'any', workerId: 'old-system' });
const shard = await manager.seal(bytesSource(new Uint8Array(100_000).fill(7)));
const { verified } = await manager.verify(shard);
const holdsShard = ({ bytes }, index) => bytes >= 100_000 && peek(index, 4096, 64).every((byte) => byte === 7);
flip(allocations().findIndex(holdsShard), 4096, 1);
const damaged = await manager.verify(shard).then(
  () => null,
  (error) => (isVramError(error) ? error.code : String(error)),
);
await manager.close();
console.log(JSON.stringify({ verified, damaged }));
`;

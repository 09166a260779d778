import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { toHex } from '../../../../src/base/index.js';
import { BLOCK_BYTES } from '../../../../src/digest/index.js';
import { xorshiftBytes } from '../../../support/xorshift.js';
import { sha256 } from '../../digest/engines.js';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const COMPILER = 'aarch64-linux-gnu-g++';
/** Debian's packages: g++-aarch64-linux-gnu, and qemu-user-static or qemu-user. */
const EMULATORS = ['qemu-aarch64-static', 'qemu-aarch64'];

const emulator = EMULATORS.find((name) => runs(name));
const missing = runs(COMPILER) ? (emulator === undefined ? `no ${EMULATORS[0]}` : null) : `no ${COMPILER}`;

function runs(command: string): boolean {
  return spawnSync(command, ['--version'], { timeout: 30_000 }).status === 0;
}

/** The hasher that this machine's processor cannot run, on an emulated one. */
describe(`block hasher armv8, emulated by QEMU${missing === null ? '' : ` (skipped: ${missing})`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'armv8-'));
  const program = join(folder, 'block-hasher');
  afterAll(() => rmSync(folder, { recursive: true }));

  it.skipIf(missing !== null)(
    'agrees with node:crypto for every count around its lanes',
    { timeout: 120_000 },
    () => {
      const sources = ['block_hasher.cc', 'sha256_armv8.cc'].map(
        (name) => `${ROOT}native/src/digest/${name}`,
      );
      const flags = ['-std=c++17', '-O2', '-Wall', '-Wextra', '-Werror', '-static', '-o', program];
      const built = spawnSync(COMPILER, [...flags, `${ROOT}test/support/block-hasher.cc`, ...sources], {
        encoding: 'utf8',
      });
      expect(built.stderr).toBe('');
      for (const count of [0, 1, 2, 3, 4, 5, 7, 8, 9, 37, 129]) {
        const blocks = xorshiftBytes(count + 1, count * BLOCK_BYTES);
        const { status, stdout } = spawnSync(String(emulator), [program, 'armv8'], { input: blocks });
        expect(status).toBe(0);
        let expected = '';
        for (let at = 0; at < blocks.length; at += BLOCK_BYTES)
          expected += toHex(sha256(blocks.subarray(at, at + BLOCK_BYTES)));
        expect(toHex(stdout), `${count} blocks`).toBe(expected);
      }
      // Another processor's hasher is not there.
      const without = spawnSync(String(emulator), [program, 'avx512'], { input: '' });
      expect(without.status).toBe(3);
    },
  );
});

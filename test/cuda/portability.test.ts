import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readRequirements } from '../../scripts/elf.mjs';
import { portabilityProblems } from '../../scripts/portability.mjs';
import { replaceText } from '../support/binary.js';
import { sanitizer } from '../support/sanitizer.js';
import { describeCuda, testDriverPath } from './testbed.js';

const objdump = spawnSync('objdump', ['--version']).status === 0;

describeCuda('cuda: what the addon and the test driver need of a system', (bed) => {
  const libraries = { addon: bed.addonPath, 'test driver': testDriverPath(bed) };

  describe.each(Object.entries(libraries))('%s', (_name, path) => {
    it.skipIf(sanitizer !== null)(
      sanitizer !== null
        ? 'NOT RUN: a build for the sanitizers is for this machine alone'
        : 'is nothing newer than glibc 2.28 and GCC 7',
      () => expect(portabilityProblems(readFileSync(path))).toEqual([]),
    );

    it.skipIf(!objdump)(
      objdump ? 'is what objdump reads in it' : 'NOT RUN: objdump is not installed (binutils)',
      () => {
        const { needed, versions } = readRequirements(readFileSync(path));
        const header = run('objdump', ['-p', path]);
        expect(needed).toEqual([...header.matchAll(/^ +NEEDED +(\S+)$/gm)].map(([, name]) => name));
        // A version counts once for each library that it is needed of; objdump -T names it with each symbol.
        const symbols = run('objdump', ['-T', path]);
        const named = new Set([...symbols.matchAll(/\*UND\*.*\((\w+_[\w.]+)\)/g)].map(([, name]) => name));
        expect(new Set(versions.map(({ version }) => version))).toEqual(named);
      },
    );
  });

  it.each([
    ['GLIBC_2.2.5', 'GLIBC_2.999'],
    ['GLIBC_2.2.5', 'GLIBC_2.100'],
    ['GLIBC_2.2.5', 'GLIBC_3.0.0'],
    ['GLIBC_2.2.5', 'GLIBC_ABI_A'],
    ['GCC_3.0', 'GCC_9.0'],
    ['libgcc_s.so.1', 'libstdc++.so6'],
  ])('%s made %s is too much', (from, to) => {
    const changed = replaceText(readFileSync(bed.addonPath), from, to);
    expect(portabilityProblems(changed)).toContainEqual(expect.stringContaining(to));
  });
});

describe('what is not a library', () => {
  it('another file', () => {
    expect(() => readRequirements(new Uint8Array(200))).toThrow('not a 64-bit little-endian ELF file');
    expect(() => readRequirements(new Uint8Array(0))).toThrow('not a 64-bit little-endian ELF file');
  });
});

function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} failed: ${stderr}`);
  return stdout;
}

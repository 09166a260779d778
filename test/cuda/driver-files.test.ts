import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { findCompiler } from '../../scripts/native-toolchain.mjs';
import { program } from '../support/cli.js';
import { sanitizer } from '../support/sanitizer.js';
import { foreignDriver, foundFirst, withForeignManagers } from './foreign-driver.js';
import { describeCuda, testDriverPath } from './testbed.js';

/** Processes are started, on a machine that may be busy. */
vi.setConfig({ testTimeout: 120_000 });

describeCuda('cuda: the files of the driver', (bed) => {
  if (sanitizer !== null) {
    it.skip('NOT RUN: the child processes do not preload the sanitizers');
    return;
  }
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'vram-driver-')));
  const named = foundFirst(folder);
  let foreign = '';
  const weights = join(folder, 'weights.bin');
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  beforeAll(() => {
    foreign = foreignDriver(bed, folder);
    writeFileSync(weights, new Uint8Array(5000).fill(7));
  });

  /** A library with this source and name. */
  function library(name: string, source: string, ...more: readonly string[]): string {
    const path = join(folder, name);
    const command = findCompiler()?.command ?? 'c++';
    const args = ['-x', 'c++', '-shared', '-fPIC', '-o', path, '-', '-x', 'none', ...more];
    const made = spawnSync(command, args, { input: source, encoding: 'utf8' });
    if (made.status !== 0) throw new Error(made.stderr);
    return path;
  }

  it('[VP-005] the driver that LD_LIBRARY_PATH puts first is unproven, and refused under vram-only', async () => {
    const refused = await program(['check', weights, '--device', 'cuda:0', '--policy', 'vram-only'], named);
    expect(refused.stderr).toContain(`the driver was loaded from ${foreign}, where`);
    expect(refused.code).toBe(3);
    const { code, stdout } = await program(['check', weights, '--device', 'cuda:0', '--json'], named);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      device: { residency: 'unproven', execution: 'hardware', driverFile: foreign },
      shards: [{ residency: 'unproven', verified: true }],
    });
  });

  it('[CI-011] a driver that does not load is reported if auto passes it over, and fails what requires it', async () => {
    const broken = join(folder, 'broken');
    mkdirSync(broken);
    writeFileSync(join(broken, 'libcuda.so.1'), 'not a library'.repeat(100));
    const machine = { ...named, LD_LIBRARY_PATH: broken };
    const check = (...more: string[]) => program(['check', weights, '--json', ...more], machine);
    const { code, stdout, stderr } = await check();
    expect(code).toBe(0);
    const told = /^skipped {3}cuda: no NVIDIA driver can be used \(.*invalid ELF header/m;
    expect(stderr).toMatch(told);
    expect(JSON.parse(stdout).device.passedOver[0]).toMatchObject({
      device: 'cuda',
      message: expect.stringContaining('invalid ELF header'),
    });
    expect((await check('--require', 'cuda')).code).toBe(5);
  });

  it('is accepted where its file or folder is named in code, and only then', () => {
    const options = [[foreign], [folder], [join(folder, 'other')], []].map((driverPaths) => ({
      driverPaths,
    }));
    const body = 'return { code: manager.status().residency };';
    const refused = expect.objectContaining({ code: 'POLICY_VIOLATION' });
    const accepted = { code: 'device-local' };
    expect(withForeignManagers(named, folder, options, body)).toEqual([accepted, accepted, refused, refused]);
  });

  it('are told for each function: a library that takes over one of them is among them', async () => {
    const source = 'extern "C" int cuLaunchKernel() { return 1; }';
    const shim = library('shim.so', source, '-Wl,--no-as-needed', testDriverPath(bed));
    const driver = await bed.addon.load(shim);
    expect(await bed.addon.driverFiles(driver)).toEqual([realpathSync(testDriverPath(bed)), shim]);
  });

  it('are told with the libraries that a driver loads for itself, by the names they were asked for by', async () => {
    const real = library('other-name.so', 'int compiler() { return 0; }');
    const link = join(folder, 'libnvidia-ptxjitcompiler.so.1');
    symlinkSync(real, link);
    const driver = await bed.addon.load(bed.libraryPath);
    expect(await bed.addon.driverFiles(driver)).toEqual([realpathSync(testDriverPath(bed))]);
    // It is not an addon, as Node says; with RTLD_NODELETE it stays loaded all the same.
    expect(() => process.dlopen({ exports: {} }, link, 0x1002)).toThrow('did not self-register');
    expect(await bed.addon.driverFiles(driver)).toEqual([realpathSync(testDriverPath(bed)), real]);
  });

  it('are those that were loaded, whatever lies there since', async () => {
    const copy = join(folder, 'libcuda-copy.so');
    writeFileSync(copy, readFileSync(foreign));
    const driver = await bed.addon.load(copy);
    rmSync(copy);
    symlinkSync(testDriverPath(bed), copy);
    expect((await bed.addon.driverFiles(driver))[0]).toBe(`${copy} (deleted)`);
  });
});

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arch } from 'node:process';
import { afterAll, describe, expect, it } from 'vitest';
import { type Addon, cudaBackend } from '../../src/device/cuda/index.js';
import { addonPaths } from '../../src/node/addon/index.js';
import { noAddon, refusedAddon } from '../../src/node/devices/cuda/addon-advice.js';
import { nodeCudaBackend } from '../../src/node/devices/cuda/backend.js';
import { loadAddon } from '../../src/node/devices/cuda/loader.js';
import { thisMachine } from '../../src/node/devices/cuda/machine.js';
import { replaceText } from '../support/binary.js';
import { describeCuda, testDriverPath } from './testbed.js';

const OTHER_ARCHITECTURE = arch === 'x64' ? { number: 183, name: 'arm64' } : { number: 62, name: 'x64' };
const musl = () => ({ platform: 'linux', arch: 'x64', glibc: null });

describeCuda('cuda: an addon that is missing or does not fit says what to do', (bed) => {
  const folder = mkdtempSync(join(tmpdir(), 'vram-addon-'));
  const addon = readFileSync(bed.addonPath);
  let files = 0;
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** Tries to load a file with these bytes. */
  function load(bytes: Uint8Array, machine = thisMachine): Promise<unknown> {
    files += 1;
    const path = join(folder, `${files}.node`);
    writeFileSync(path, bytes);
    return loadAddon([path], machine);
  }

  const refusal = (pattern: RegExp) => ({
    code: 'DEVICE_UNAVAILABLE',
    message: expect.stringMatching(pattern),
  });

  it('the addon as it is loads', async () => {
    expect(await load(addon)).toHaveProperty('interfaceVersion');
  });

  it('a glibc that is too old: the version missing, the one here, and what is served', async () => {
    const newer = replaceText(addon, 'GLIBC_2.2.5', 'GLIBC_2.999');
    const { glibc } = thisMachine();
    await expect(load(newer)).rejects.toMatchObject(
      refusal(/^the CUDA addon needs GLIBC_2\.999, .*needs glibc 2\.28 or newer.*npm run build:native/),
    );
    await expect(load(newer)).rejects.toThrow(`this system (glibc ${glibc}) lacks`);
  });

  it('a library that is missing: the words of the system, and what to do', async () => {
    const lost = replaceText(addon, 'libc.so.6', 'libc.so.9');
    await expect(load(lost)).rejects.toMatchObject(
      refusal(/could not be loaded: libc\.so\.9: cannot open.*; install the package again/),
    );
  });

  it('another architecture: both are named', async () => {
    const other = Buffer.from(addon);
    other.writeUInt16LE(OTHER_ARCHITECTURE.number, 18);
    await expect(load(other)).rejects.toMatchObject(
      refusal(new RegExp(`built for ${OTHER_ARCHITECTURE.name}, and this Node is for ${arch}; install`)),
    );
  });

  it.each([
    ['of 32 bits', 4, 1],
    ['big-endian', 5, 2],
  ])('an architecture %s', async (_name, at, value) => {
    const other = Buffer.from(addon);
    other[at] = value;
    await expect(load(other)).rejects.toMatchObject(refusal(/built for another processor, .*; install/));
  });

  it('a file cut off at any length, which would kill the process if it were loaded', async () => {
    for (const length of [64, 3000, addon.length >> 1, addon.length - 1]) {
      await expect(load(addon.subarray(0, length))).rejects.toMatchObject(refusal(/is cut off; install/));
    }
  });

  it('a file that is not a library', async () => {
    for (const bytes of [Buffer.alloc(0), addon.subarray(0, 63), Buffer.alloc(5000, 'text')]) {
      await expect(load(bytes)).rejects.toMatchObject(refusal(/is not a Linux library; install/));
    }
  });

  it('an addon of another version, by its functions', async () => {
    // The test driver is an addon too, with other functions.
    await expect(load(readFileSync(testDriverPath(bed)))).rejects.toMatchObject(
      refusal(/belongs to another version of this package; install/),
    );
  });

  it('a driver or addon that is not installed is not a failure; one that is there and does not load is', async () => {
    const failed = async (addon: () => Promise<Addon>): Promise<boolean | undefined> => {
      const backend = cudaBackend({
        addon,
        libraryPath: null,
        pageable: () => false,
        driverDoubt: async () => null,
        kernels: () => Promise.reject(new Error('not to be asked for')),
      });
      expect(await backend.list()).toEqual([]);
      return (await backend.problem())?.failed;
    };
    const loading = (message: string, code = 'NO_DRIVER') =>
      failed(async () => ({
        ...bed.addon,
        load: () => Promise.reject(Object.assign(new Error(message), { code })),
      }));
    const absent = 'cannot open shared object file: No such file or directory';
    expect(await failed(() => loadAddon([join(folder, 'nothing.node')]))).toBe(false);
    expect(await loading(`libcuda.so.1: ${absent}`)).toBe(false);
    expect(await loading(`libnvidia-part-of-it.so: ${absent}`)).toBe(true);
    expect(await loading('libcuda.so.1: invalid ELF header')).toBe(true);
    expect(await loading('cuInit returned CUDA_ERROR_SYSTEM_DRIVER_MISMATCH', 'DRIVER')).toBe(true);
    expect(await failed(() => load(addon.slice(0, 4096)) as Promise<Addon>)).toBe(true);
  });

  it('an addon of another version, by its number', async () => {
    const backend = cudaBackend({
      addon: async () => ({ ...bed.addon, interfaceVersion: 1 }),
      libraryPath: bed.libraryPath,
      pageable: () => false,
      driverDoubt: async () => null,
      kernels: () => Promise.reject(new Error('not to be asked for')),
    });
    expect(await backend.list()).toEqual([]);
    expect((await backend.problem())?.message).toMatch(
      /another version of this package \(interface 1, not 5\); install/,
    );
  });

  it('no addon: names the platform, and how to go on', async () => {
    const backend = nodeCudaBackend({ addonPaths: ['/nowhere/addon.node'] });
    expect(await backend.list()).toEqual([]);
    expect((await backend.problem())?.message).toMatch(
      new RegExp(`^there is no CUDA addon for linux-${arch}: .*use webgpu, or npm run build:native`),
    );
  });

  it('musl: a missing addon and one that does not load', async () => {
    const words = /glibc 2\.28 or newer.*\(musl\); use a system or container image with glibc/;
    await expect(loadAddon(['/nowhere/addon.node'], musl)).rejects.toMatchObject(refusal(words));
    const lost = replaceText(addon, 'libc.so.6', 'libc.so.9');
    await expect(load(lost, musl)).rejects.toMatchObject(refusal(words));
  });

  it('what is built in a working tree comes before what the package carries', () => {
    const [built, , prebuilt] = addonPaths();
    expect(prebuilt).toMatch(/native\/prebuilt\/linux-[a-z0-9]+\/vram_residency\.node$/);
    expect(built).toMatch(/native\/build\/vram_residency\.node$/);
    expect(existsSync(built ?? '')).toBe(true);
  });
});

describe('cuda: advice for machines that this one is not', () => {
  const arm = { platform: 'linux', arch: 'arm64', glibc: '2.36' };

  it('an architecture without a prebuilt addon is told which there are', () => {
    expect(noAddon(arm, ['linux-x64'])).toMatch(/for linux-arm64: this package carries one for linux-x64;/);
    expect(noAddon(arm, [])).toMatch(/this package carries none;/);
  });

  it('a system that is not Linux is sent to WebGPU', () => {
    expect(noAddon({ ...arm, platform: 'darwin', glibc: null }, ['linux-x64'])).toBe(
      'CUDA is supported on Linux, not on darwin; use webgpu',
    );
  });

  it('a libstdc++ that is too old is named as glibc is', () => {
    const words =
      "/lib/libstdc++.so.6: version `GLIBCXX_3.4.30' not found (required by /x/vram_residency.node)";
    expect(refusedAddon(arm, words)).toMatch(
      /needs GLIBCXX_3\.4\.30, which this system \(glibc 2\.36\) lacks/,
    );
  });
});

import { chown, lstat, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { getuid } from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { driverDoubt, type Paths } from '../../../../src/node/devices/cuda/driver-files.js';

type Entry = { readonly uid?: number; readonly mode?: number; readonly link?: string };

/** A file system of root's own folders, but for these; only they and what links lead to can be resolved. */
function paths(entries: Readonly<Record<string, Entry>> = {}): Paths {
  return {
    lstat: async (path) => {
      if (path.endsWith(' (deleted)')) throw new Error('ENOENT');
      const { uid = 0, mode = 0o755, link } = entries[path] ?? {};
      return { uid, mode, isSymbolicLink: () => link !== undefined };
    },
    realpath: async (path) => {
      const { link } = entries[path] ?? {};
      if (link === undefined) throw new Error('ENOENT');
      return link;
    },
  };
}

const LIBRARY = '/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.14';

describe('[VP-002] whether a driver is the system’s, by its file', () => {
  it.each([
    LIBRARY,
    '/usr/lib/aarch64-linux-gnu/libcuda.so.550.54.14',
    '/usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.535.183.01',
    '/usr/lib64/libcuda.so.580.159.04',
    '/lib/x86_64-linux-gnu/libcuda.so.1',
    '/usr/local/nvidia/lib64/libcuda.so.1',
  ])('%s lies where systems keep theirs, whoever owns it', async (file) => {
    expect(await driverDoubt([file], [], paths({ [file]: { uid: 1000, mode: 0o777 } }))).toBeNull();
  });

  it('folders of the system may be links, and so may the driver in them', async () => {
    const cuda = paths({
      '/usr/local/cuda/compat': { link: '/usr/local/cuda-12.4/compat' },
      '/usr': { uid: 9 },
    });
    expect(await driverDoubt(['/usr/local/cuda-12.4/compat/libcuda.so.550'], [], cuda)).toBeNull();
    expect(await driverDoubt(['/usr/local/cuda-12.4/lib64/libcuda.so.550'], [], cuda)).not.toBeNull();
    const nix = paths({
      '/nix/store': { mode: 0o1775 },
      '/run/opengl-driver/lib': { link: '/nix/store/aaa-drivers/lib' },
      '/run/opengl-driver/lib/libcuda.so.1': { link: '/nix/store/bbb-nvidia-x11/lib/libcuda.so.550' },
    });
    const nvidia = '/nix/store/bbb-nvidia-x11/lib';
    const files = [`${nvidia}/libcuda.so.550`, `${nvidia}/libnvidia-ptxjitcompiler.so.550`];
    expect(await driverDoubt(files, [], nix)).toBeNull();
    expect(await driverDoubt(['/nix/store/ccc/lib/libcuda.so.550'], [], nix)).toMatch(
      /\/nix\/store$|\/nix\/store,|\/nix\/store;/,
    );
  });

  it('elsewhere every component has to be root’s, and nobody else may write to it', async () => {
    const file = '/opt/nvidia/lib/libcuda.so.550';
    expect(await driverDoubt([file], [], paths())).toBeNull();
    for (const component of ['/', '/opt', '/opt/nvidia', '/opt/nvidia/lib', file]) {
      for (const [entry, why] of [
        [{ uid: 1000 }, `where ${component} is not root's`],
        [{ mode: 0o775 }, `where users other than root can write to ${component}`],
        [{ mode: 0o757 }, `where users other than root can write to ${component}`],
        [{ mode: 0o1777 }, `where users other than root can write to ${component}`],
        [{ link: '/elsewhere' }, `where ${component} has become a link`],
      ] as const) {
        expect(await driverDoubt([file], [], paths({ [component]: entry })), component).toBe(
          `was loaded from ${file}, ${why}; to trust a driver there, name it in driverPaths`,
        );
      }
    }
    expect(await driverDoubt([`${file} (deleted)`], [], paths())).toContain('which is no longer there');
  });

  it('a folder that only begins like one of the system’s is none', async () => {
    const foreign = paths({ '/usr/libre': { uid: 1000 }, '/usr/lib64x': { uid: 1000 } });
    for (const file of ['/usr/libre/libcuda.so.1', '/usr/lib64x/libcuda.so.1'])
      expect(await driverDoubt([file], [], foreign)).toContain(`was loaded from ${file}`);
  });

  it('every file counts: the compiler that the driver loads, and code without a file', async () => {
    const home = paths({ '/home/u': { uid: 1000 } });
    const compiler = '/home/u/libnvidia-ptxjitcompiler.so.1';
    expect(await driverDoubt([LIBRARY, compiler], [], home)).toContain(`was loaded from ${compiler}`);
    expect(await driverDoubt([LIBRARY, ''], [], home)).toBe('runs code that no file backs');
    expect(await driverDoubt(['[anon]'], [], home)).toBe('runs code that no file backs');
    expect(await driverDoubt([], [], home)).toContain('does not report where its code was loaded from');
  });

  it('a file, a folder, or a link to one can be trusted in code, and nothing beside it', async () => {
    const home = paths({ '/home/u': { uid: 1000 }, '/home/u/current': { link: '/home/u/v2' } });
    const file = '/home/u/v2/libcuda.so.1';
    for (const trusted of [file, '/home/u/v2', '/home/u/v2/', '/home/u/current', '/home/u'])
      expect(await driverDoubt([file], [trusted], home), trusted).toBeNull();
    for (const other of ['/home/u/v2/libcuda.so', '/home/u/v', '/home/u/v20'])
      expect(await driverDoubt([file], [other], home), other).not.toBeNull();
  });
});

describe('the same on this machine', () => {
  const root = getuid?.() === 0;
  let folder = '';
  beforeAll(async () => {
    folder = await realpath(await mkdtemp(join(tmpdir(), 'driver-files-')));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('a folder for temporary files is not root’s alone', async () => {
    expect(await driverDoubt([join(folder, 'libcuda.so.1')], [])).toContain('name it in driverPaths');
  });

  /** The file system as it is, as though the folder for temporary files were root's alone. */
  const below: Paths = {
    realpath,
    lstat: async (path) =>
      folder.startsWith(`${path === '/' ? '' : path}/`)
        ? { uid: 0, mode: 0o755, isSymbolicLink: () => false }
        : await lstat(path),
  };

  it.skipIf(!root)(
    root
      ? 'a file and a folder that root owns, and one that was given away'
      : 'NOT RUN: only root may give files away',
    async () => {
      const file = join(folder, 'lib', 'libcuda.so.1');
      await mkdir(dirname(file), { mode: 0o755 });
      await writeFile(file, '', { mode: 0o644 });
      expect(await driverDoubt([file], [], below)).toBeNull();
      await chown(file, 12_345, 0);
      expect(await driverDoubt([file], [], below)).toContain(`where ${file} is not root's`);
      await chown(file, 0, 0);
      await chown(dirname(file), 12_345, 0);
      expect(await driverDoubt([file], [], below)).toContain(`where ${dirname(file)} is not root's`);
      const link = join(folder, 'link');
      await symlink(dirname(file), link);
      expect(await driverDoubt([join(link, 'libcuda.so.1')], [], below)).toContain('has become a link');
    },
  );
});

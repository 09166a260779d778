import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileLocker } from '../../../src/node/index.js';
import { takeDeviceLock } from '../../../src/worker/lock/index.js';

const GPU = { id: 'cuda:0', uuid: 'GPU-8f0f2f6b-6c2d-4a11-9d0b-7ac5d1e34f05' };
let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vram-lock-'));
});
afterEach(() => rm(directory, { recursive: true }));

const take = (
  device: { readonly id: string; readonly uuid: string | null } = GPU,
  more: Partial<Parameters<typeof takeDeviceLock>[0]> = {},
) => takeDeviceLock({ device, directory, scope: 'container', env: {}, ...more });

describe.skipIf(fileLocker() === null)('the lock of a device (skipped without the addon)', () => {
  it('is held by one, who is named to the second, until it is given back', async () => {
    const first = await take();
    expect(first.weakness).toBeNull();
    expect(await readdir(directory)).toEqual([`${GPU.uuid}.lock`]);
    expect(await readFile(join(directory, `${GPU.uuid}.lock`), 'utf8')).toBe(`${process.pid}\n`);
    await expect(take()).rejects.toThrow(`cuda:0 is served by another worker (process ${process.pid})`);
    first.release();
    first.release();
    (await take()).release();
  });

  it('is of one device: others, and those without a UUID, have their own', async () => {
    const locks = [
      await take(),
      await take({ id: 'webgpu:1', uuid: null }),
      await take({ id: 'host', uuid: null }),
    ];
    expect((await readdir(directory)).sort()).toEqual([`${GPU.uuid}.lock`, 'host.lock', 'webgpu-1.lock']);
    for (const lock of locks) lock.release();
  });

  it('is made in a folder that is not there yet, and in nothing else', async () => {
    (await take(GPU, { directory: join(directory, 'a/b') })).release();
    const file = join(directory, 'file');
    await writeFile(file, '');
    await expect(take(GPU, { directory: file })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'lockDir',
    });
    await symlink(file, join(directory, 'host.lock'));
    await expect(take({ id: 'host', uuid: null })).rejects.toMatchObject({ argument: 'lockDir' });
  });

  it("must be the whole host's, unless nobody else gets the device", async () => {
    const env = { KUBERNETES_SERVICE_HOST: '10.0.0.1' };
    await expect(take(GPU, { scope: 'host', env })).rejects.toThrow("is this container's own");
    (await take(GPU, { scope: 'container', env })).release();
  });
});

describe('without the addon', () => {
  it('there is no lock, which is said', async () => {
    const lock = await take(GPU, { lockFile: null });
    expect(lock.weakness).toContain('the addon is missing');
    lock.release();
    expect(await readdir(directory)).toEqual([]);
  });
});

import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, rmSync } from 'node:fs';
import { mkdtemp, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it, vi } from 'vitest';
import { fileSource } from '../../../../src/node/files/file-source.js';
import { failure } from '../../manager/fixture.js';

const swap = vi.hoisted(() => ({ beforeOpen: async (): Promise<void> => undefined }));

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  return {
    ...real,
    open: async (...given: Parameters<typeof real.open>) => {
      await swap.beforeOpen();
      return await real.open(...given);
    },
  };
});

let folder = '';
afterEach(async () => {
  swap.beforeOpen = async () => undefined;
  await rm(folder, { recursive: true, force: true });
});

it("[IV-006] a named pipe that takes a file's place before it is opened is refused, and not waited for", async () => {
  folder = await mkdtemp(join(tmpdir(), 'swap-'));
  const [file, pipe, link] = [join(folder, 'file'), join(folder, 'pipe'), join(folder, 'model.bin')];
  await writeFile(file, new Uint8Array(100));
  execFileSync('mkfifo', [pipe]);
  await symlink(file, link);
  swap.beforeOpen = async () => {
    await unlink(link);
    await symlink(pipe, link);
  };
  const opening = failure(fileSource(link));
  const outcome = await Promise.race([opening, sleep(3_000, 'still waiting')]);
  // Lets an open that hangs go on, so that its thread does not outlive the test.
  closeSync(openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK));
  rmSync(pipe);
  expect(outcome).toMatchObject({
    code: 'INVALID_INPUT',
    message: expect.stringContaining('not a regular file'),
  });
});

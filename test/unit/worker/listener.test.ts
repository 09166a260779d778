import { statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { listen } from '../../../src/worker/http/index.js';

const modes: number[] = [];

vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs/promises')>();
  return {
    ...real,
    chmod: async (path: string, mode: number) => {
      modes.push(statSync(path).mode & 0o777);
      await real.chmod(path, mode);
    },
  };
});

it('makes a socket that is private before its rights are set, under a mask that lasts no longer', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'vram-listener-'));
  const before = process.umask(0o022);
  try {
    const path = join(dir, 'worker.sock');
    const listener = await listen({ socket: path, trustOwner: null }, async () => new Response());
    expect(process.umask()).toBe(0o022);
    await listener.close();
    expect(modes).toEqual([0o600]);
  } finally {
    process.umask(before);
    await rm(dir, { recursive: true });
  }
});

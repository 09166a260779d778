import { chmod, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VramManager } from '../../../src/index.js';
import { checkSettings, ShardWatch, serve } from '../../../src/worker/index.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vram-tls-'));
  await writeFile(join(dir, 'admin'), 'a'.repeat(40), { mode: 0o600 });
  await writeFile(join(dir, 'cert.pem'), 'a certificate', { mode: 0o644 });
  await writeFile(join(dir, 'key.pem'), 'a key', { mode: 0o600 });
});
afterEach(() => rm(dir, { recursive: true }));

/** A worker with these files, which never gets as far as to listen. */
async function started(): Promise<unknown> {
  const watch = new ShardWatch();
  await using manager = await VramManager.open({
    device: 'host',
    policy: 'any',
    workerId: 'worker',
    observers: [watch],
  });
  const settings = checkSettings({
    listen: {
      host: '127.0.0.1',
      port: 0,
      tls: { cert: join(dir, 'cert.pem'), key: join(dir, 'key.pem') },
    },
    tokens: { admin: join(dir, 'admin') },
    scrub: false,
  });
  const onUnforeseen = (error: unknown): void => {
    throw error;
  };
  return await serve({ settings, manager, watch, onUnforeseen }).catch((error: unknown) => error);
}

describe('the files of TLS', () => {
  it('a key that others can read is refused, as a token is', async () => {
    await chmod(join(dir, 'key.pem'), 0o644);
    expect(await started()).toMatchObject({ code: 'INVALID_INPUT', argument: 'listen.tls.key' });
  });

  it.each(['cert', 'key'])('a %s of more than 1 MiB is refused', async (which) => {
    await truncate(join(dir, `${which}.pem`), 2 ** 21);
    expect(await started()).toMatchObject({ code: 'INVALID_INPUT', argument: `listen.tls.${which}` });
  });
});

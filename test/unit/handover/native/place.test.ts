import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { getgid, getuid } from 'node:process';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { addonTransport } from '../../../../src/handover/native/index.js';
import type { ListenOptions, ShareListener } from '../../../../src/handover/port.js';
import { describeSockets, inDirectory } from './testbed.js';

const ROOT = 0;

/** A socket file behind which nobody listens any more; with the owner it is given. */
function leaveStale(path: string, owner: number | null = null): void {
  const given =
    owner === null ? '' : `require('node:fs').chownSync(${JSON.stringify(path)}, ${owner}, ${owner});`;
  const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => {
    ${given} process.kill(process.pid, 'SIGKILL');
  })`;
  spawnSync(process.execPath, ['-e', program]);
}

describeSockets('where a share socket may be', (bed) => {
  const listen = (path: string, options: Partial<ListenOptions> = {}): Promise<ShareListener> =>
    addonTransport(bed.addon).listen({
      path,
      mode: 0o600,
      maxLineBytes: 65_536,
      onConnection: (connection) => connection.close(),
      ...options,
    });
  const refused = (path: string, words: string): Promise<void> =>
    expect(listen(path)).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      message: expect.stringContaining(words),
    });

  it.each([0o022, 0o077, 0o000])('its mode is what was asked for, under umask %o', async (mask) => {
    await inDirectory(async (directory) => {
      const before = process.umask(mask);
      try {
        for (const mode of [0o600, 0o660] as const) {
          const path = join(directory, `${mode}.sock`);
          const listener = await listen(path, { mode, group: getgid?.() });
          expect(lstatSync(path).isSocket()).toBe(true);
          expect(statSync(path).mode & 0o777).toBe(mode);
          expect(statSync(path)).toMatchObject({ uid: getuid?.(), gid: getgid?.() });
          await listener.close();
          await listener.close();
          expect(existsSync(path)).toBe(false);
        }
        expect(process.umask()).toBe(mask);
      } finally {
        process.umask(before);
      }
    });
  });

  it('a path that is too long, relative, or with a null character', async () => {
    await inDirectory(async (directory) => {
      await refused(join(directory, 'x'.repeat(107)), 'at most 107 bytes');
      await refused('share.sock', 'must be an absolute path');
      await refused(`${directory}/a\0b`, 'without null characters');
      const longest = join(directory, 'y'.repeat(107 - directory.length - 1));
      await (await listen(longest)).close();
    });
  });

  it('a directory that others can write, one that is not there, and one below such a directory', async () => {
    await inDirectory(async (directory) => {
      const open = join(directory, 'open');
      mkdirSync(open);
      for (const mode of [0o777, 0o1777, 0o770]) {
        chmodSync(open, mode);
        await refused(join(open, 'share.sock'), 'others can write');
      }
      await refused(join(directory, 'nowhere', 'share.sock'), 'ENOENT');
      chmodSync(open, 0o777);
      const inner = join(open, 'inner');
      mkdirSync(inner, { mode: 0o700 });
      await refused(join(inner, 'share.sock'), 'lies below a directory that can be written by everybody');
    });
  });

  it.skipIf(getuid?.() !== ROOT)(
    'a directory of another user, unless that user is trusted (only root can make one)',
    async () => {
      await inDirectory(async (directory) => {
        const volume = join(directory, 'volume');
        mkdirSync(volume, { mode: 0o755 });
        chownSync(volume, 4711, 4711);
        const path = join(volume, 'share.sock');
        await refused(path, 'belongs to another user (uid 4711)');
        await expect(listen(path, { trustOwner: 4712 })).rejects.toThrow('belongs to another user');
        await (await listen(path, { trustOwner: 4711 })).close();
      });
    },
  );

  it('a path that a server listens at is taken; a file and a link are not sockets', async () => {
    await inDirectory(async (directory) => {
      const path = join(directory, 'share.sock');
      const server = createServer().listen(path);
      await new Promise((resolve) => server.once('listening', resolve));
      await refused(path, 'is taken: another server listens there');
      expect(existsSync(path)).toBe(true);
      await new Promise((resolve) => server.close(resolve));

      const first = await listen(path);
      await refused(path, 'is taken: another server listens there');
      await first.close();

      const file = join(directory, 'file');
      writeFileSync(file, 'precious');
      await refused(file, 'is taken by a file that is not a socket');
      const link = join(directory, 'link');
      symlinkSync(file, link);
      await refused(link, 'is taken by a file that is not a socket');
      expect(statSync(file).size).toBe(8);
    });
  });

  it('what a killed server left is removed and made anew', async () => {
    await inDirectory(async (directory) => {
      const path = join(directory, 'share.sock');
      leaveStale(path);
      expect(lstatSync(path).isSocket()).toBe(true);
      const listener = await listen(path);
      expect(lstatSync(path).mode & 0o777).toBe(0o600);
      await listener.close();
    });
  });

  const user = getuid?.();
  it.skipIf(user !== ROOT)(
    user === ROOT
      ? 'a stale socket of another user stays, and a directory of another user is refused'
      : 'NOT RUN: another user’s files need root',
    async () => {
      await inDirectory(async (directory) => {
        const path = join(directory, 'share.sock');
        leaveStale(path, 12345);
        await refused(path, 'is taken by a socket of another user');
        expect(lstatSync(path).uid).toBe(12345);
        const theirs = join(directory, 'theirs');
        mkdirSync(theirs);
        spawnSync('chown', ['12345', theirs]);
        await refused(join(theirs, 'share.sock'), 'belongs to another user');
      });
    },
  );

  it('a server closes its own file alone: one that another server put there stays', async () => {
    await inDirectory(async (directory) => {
      const path = join(directory, 'share.sock');
      const first = await listen(path);
      spawnSync('rm', [path]);
      const second = await listen(path);
      await first.close();
      expect(existsSync(path)).toBe(true);
      await second.close();
      expect(existsSync(path)).toBe(false);
    });
  });

  it('eight servers that start at once over what is stale: one of them has it', async () => {
    await inDirectory(async (directory) => {
      const path = join(directory, 'share.sock');
      leaveStale(path);
      // Each with a thread of its own: what belongs to one environment is done in turn.
      const program = `
        const { workerData, parentPort } = require('node:worker_threads');
        const addon = require(workerData.addonPath);
        const sockets = addon.openSockets(() => {});
        addon.listenAt(sockets, workerData.path, 0o600, null, 100).then(
          () => parentPort.postMessage('listens'),
          (error) => parentPort.postMessage(error.message),
        );
        parentPort.once('message', () => addon.closeSockets(sockets));
      `;
      const workers = Array.from(
        { length: 8 },
        () => new Worker(program, { eval: true, workerData: { addonPath: bed.addonPath, path } }),
      );
      const answers = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]));
      const taken = 'is taken: another server listens there';
      expect(answers.sort()).toEqual([...Array.from({ length: 7 }, () => taken), 'listens']);
      for (const worker of workers) {
        worker.postMessage('end');
        await once(worker, 'exit');
      }
      expect(existsSync(path)).toBe(false);
    });
  });

  it('goes with its environment: a worker thread that is ended leaves no file behind', async () => {
    await inDirectory(async (directory) => {
      const path = join(directory, 'share.sock');
      const program = `
        const { workerData, parentPort } = require('node:worker_threads');
        const addon = require(workerData.addonPath);
        const sockets = addon.openSockets(() => {});
        addon.listenAt(sockets, workerData.path, 0o600, null, 100).then(() => {
          addon.connectTo(sockets, workerData.path, 100);
          parentPort.postMessage('listens');
        });
      `;
      const worker = new Worker(program, { eval: true, workerData: { addonPath: bed.addonPath, path } });
      await once(worker, 'message');
      expect(existsSync(path)).toBe(true);
      await worker.terminate();
      expect(existsSync(path)).toBe(false);
    });
  });

  it.each([
    [{ mode: 0o666 }, '"mode" must be 0o600 or 0o660'],
    [{ group: -1 }, 'group'],
    [{ maxLineBytes: 0 }, 'maxLineBytes'],
    [{ onConnection: undefined }, '"onConnection" must be a function'],
  ])('refuses %j', async (options, words) => {
    await inDirectory(async (directory) => {
      await expect(listen(join(directory, 's'), options as Partial<ListenOptions>)).rejects.toMatchObject({
        code: 'INVALID_INPUT',
        message: expect.stringContaining(words),
      });
    });
  });
});

import { execFile } from 'node:child_process';
import {
  chmod,
  chown,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { unfitHeader } from '../../../../src/node/addon/index.js';
import { exportTiles, verifyAudit } from '../../../../src/node/audit/index.js';
import { nodeFileSystem, replaceFile } from '../../../../src/node/files/file-system.js';
import { openKeyFile } from '../../../../src/node/keys/key-file.js';
import { event, openLog, scratch, TOKEN } from './support.js';

const run = promisify(execFile);
/** Neither the user of these tests nor root, and a group that they are not in. */
const STRANGER = 54_321;
const isRoot = process.geteuid?.() === 0;
const needsRoot = isRoot ? '' : ' (NOT RUN: only root can give files to another user)';

const mkfifo = (path: string) => run('mkfifo', [path]);

describe.skipIf(process.platform === 'win32')('names that others prepared in a log directory', () => {
  it('of a temporary file do not reach through a link, and no name can be prepared twice', async () => {
    const place = await scratch();
    await mkdir(place.dir);
    const victim = join(place.root, 'victim');
    await writeFile(victim, 'a key', { mode: 0o600 });
    for (const name of ['checkpoint.tmp', 'frontier.json.tmp']) await symlink(victim, join(place.dir, name));
    const log = await openLog(place);
    await log.close();
    expect(await readFile(victim, 'utf8')).toBe('a key');

    const names: string[] = [];
    const fs = {
      ...nodeFileSystem,
      open: (path: string, mode: 'create' | 'update' | 'read') => {
        names.push(path);
        return nodeFileSystem.open(path, mode);
      },
    };
    for (let i = 0; i < 2; i++) await replaceFile(fs, join(place.root, 'file'), Uint8Array.of(1));
    expect(new Set(names).size).toBe(2);
  });

  it.each(['checkpoint', 'segment', 'frontier.json', 'lock'])(
    'a link or a pipe in the place of a %s is not followed, and hangs nobody',
    async (which) => {
      const place = await scratch();
      const log = await openLog(place);
      await log.observer.on(event('vram.sealed'));
      await log.close();
      const names = await readdir(place.dir);
      const name = which === 'segment' ? names.find((each) => each.endsWith('.ndjson')) : which;
      const path = join(place.dir, which === 'lock' ? 'lock.9' : (name ?? ''));
      const aside = join(place.root, 'aside');
      if (which === 'lock') await writeFile(aside, '{}');
      else await rename(path, aside);
      const before = await readFile(aside);
      for (const plant of [() => symlink(aside, path), () => mkfifo(path)]) {
        await plant();
        const keys = { token: TOKEN, keyFile: place.keyFile };
        // Only a frontier can be done without: the log is read from its beginning.
        if (which === 'frontier.json') {
          expect((await verifyAudit(place.dir, keys)).ok).toBe(true);
          await (await openLog(place)).close();
        } else {
          const refused = { code: 'AUDIT_FAILED' };
          if (which !== 'lock') await expect(verifyAudit(place.dir, keys)).rejects.toMatchObject(refused);
          await expect(openLog(place)).rejects.toMatchObject(refused);
        }
        expect(await readFile(aside)).toEqual(before);
        await rm(path, { force: true });
      }
    },
    10_000,
  );

  it('a segment that is moved away for a link to it is noticed while the log is written', async () => {
    const place = await scratch();
    const log = await openLog(place);
    const name = (await readdir(place.dir)).find((each) => each.endsWith('.ndjson')) ?? '';
    await rename(join(place.dir, name), join(place.root, 'away'));
    await symlink(join(place.root, 'away'), join(place.dir, name));
    await expect(log.observer.on(event('vram.sealed'))).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    await expect(log.close()).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
  });

  it('what a crash left of files that were being replaced is removed, and nothing else', async () => {
    const place = await scratch();
    await (await openLog(place)).close();
    const left = ['checkpoint', 'frontier.json'].map((name) => `${name}.${crypto.randomUUID()}.tmp`);
    for (const name of [...left, 'notes.tmp']) await writeFile(join(place.dir, name), 'half');
    await (await openLog(place)).close();
    const names = await readdir(place.dir);
    expect(names).toContain('notes.tmp');
    expect(names.filter((name) => left.includes(name))).toEqual([]);
  });
});

describe.skipIf(process.platform === 'win32')('a pipe in the place of the addon', () => {
  it('is told, and hangs nobody', async () => {
    const { root } = await scratch();
    await mkfifo(join(root, 'vram.node'));
    expect(unfitHeader(join(root, 'vram.node'), 'x64')).toBe('is not a regular file');
  });
});

describe.skipIf(process.platform === 'win32')('directories that others can write', () => {
  let root = '';
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'foreign-'));
  });
  afterEach(async () => {
    await rm(root, { recursive: true, force: true });
  });

  const place = (dir = join(root, 'log')) => ({ dir, keyFile: join(root, 'keys', 'key') });
  const refused = (message: string) => ({
    code: 'INVALID_INPUT',
    argument: 'dir',
    message: expect.stringContaining(message),
  });

  it('are refused for a log, with what to do, and nothing is made in them', async () => {
    const dir = join(root, 'log');
    await mkdir(dir);
    for (const mode of [0o777, 0o1777]) {
      await chmod(dir, mode);
      await expect(openLog(place())).rejects.toMatchObject(refused('chmod o-w'));
    }
    expect(await readdir(dir)).toEqual([]);
    await chmod(dir, 0o770);
    await (await openLog(place())).close();
  });

  it('are refused above a log too, unless they are sticky', async () => {
    const dir = join(root, 'shared', 'mine', 'log');
    await mkdir(join(root, 'shared'));
    await chmod(join(root, 'shared'), 0o777);
    await expect(openLog(place(dir))).rejects.toMatchObject(refused('lies below a directory'));
    expect(await readdir(join(root, 'shared'))).toEqual([]);
    await chmod(join(root, 'shared'), 0o1777);
    await (await openLog(place(dir))).close();
    // A link to the log that others can turn elsewhere is no better.
    await mkdir(join(root, 'links'));
    await symlink(dir, join(root, 'links', 'log'));
    await (await openLog(place(join(root, 'links', 'log')))).close();
    await chmod(join(root, 'links'), 0o777);
    await expect(openLog(place(join(root, 'links', 'log')))).rejects.toMatchObject(refused('lies below'));
  });

  it('are refused for an export', async () => {
    await (await openLog(place())).close();
    const target = join(root, 'tiles');
    await mkdir(target);
    await chmod(target, 0o777);
    await expect(exportTiles(join(root, 'log'), target)).rejects.toMatchObject({ argument: 'target' });
    await chmod(target, 0o755);
    expect(await exportTiles(join(root, 'log'), target)).toMatchObject({ size: 2 });
  });

  it('are refused for a private key, as are links and pipes in its place', async () => {
    const folder = join(root, 'keys');
    const path = join(folder, 'key');
    const refusedKey = { code: 'INVALID_INPUT', argument: 'keyFile' };
    await mkdir(folder);
    await chmod(folder, 0o777);
    await expect(openKeyFile(path, { logDirectory: null })).rejects.toMatchObject(refusedKey);
    expect(await readdir(folder)).toEqual([]);
    await chmod(folder, 0o700);
    await openKeyFile(path, { logDirectory: null });
    await chmod(folder, 0o777);
    await expect(openKeyFile(path, { logDirectory: null })).rejects.toMatchObject(refusedKey);
    await chmod(folder, 0o700);
    for (const plant of [() => symlink(join(root, 'real'), path), () => mkfifo(path)]) {
      await rm(join(root, 'real'), { force: true });
      await rename(path, join(root, 'real'));
      await plant();
      await expect(openKeyFile(path, { logDirectory: null })).rejects.toMatchObject({
        ...refusedKey,
        message: expect.stringContaining('regular file'),
      });
      await unlink(path);
      await rename(join(root, 'real'), path);
    }
    await link(path, join(root, 'hard'));
    await openKeyFile(path, { logDirectory: null });
  });

  it.skipIf(!isRoot)(`of another user are refused, unless that user is trusted${needsRoot}`, async () => {
    const dir = join(root, 'log');
    await mkdir(dir);
    await chown(dir, STRANGER, STRANGER);
    await expect(openLog(place())).rejects.toMatchObject(refused(`uid ${STRANGER}`));
    await (await openLog(place(), { trustOwner: STRANGER })).close();
    await expect(openLog(place(), { trustOwner: STRANGER + 1 })).rejects.toMatchObject({ argument: 'dir' });
    for (const trustOwner of [-1, 1.5, 2 ** 32 - 1]) {
      await expect(openLog(place(), { trustOwner })).rejects.toMatchObject({ argument: 'trustOwner' });
    }
    // One above the log: its owner can put another directory in its place.
    await chown(dir, 0, 0);
    await chown(root, STRANGER, STRANGER);
    await expect(openLog(place())).rejects.toMatchObject(refused('lies below'));
    await (await openLog(place(), { trustOwner: STRANGER })).close();
    // A reader needs to trust nobody: what it reads is proved.
    const report = await verifyAudit(dir, { token: TOKEN });
    expect(report.ok).toBe(true);
  });

  it.skipIf(!isRoot)(`of a group that this process is not in are refused${needsRoot}`, async () => {
    const dir = join(root, 'log');
    await mkdir(dir);
    await chown(dir, 0, STRANGER);
    await chmod(dir, 0o750);
    await (await openLog(place())).close();
    await chmod(dir, 0o770);
    await expect(openLog(place())).rejects.toMatchObject(refused(`gid ${STRANGER}`));
    await chmod(dir, 0o750);
    // Above the log root may have given a directory to whatever group, as /var/log is syslog's.
    await chown(root, 0, STRANGER);
    await chmod(root, 0o770);
    await (await openLog(place())).close();
    const key = await stat(place().keyFile);
    expect(key.mode & 0o777).toBe(0o600);
  });

  it.skipIf(!isRoot)(`a key of another user is refused${needsRoot}`, async () => {
    const path = join(root, 'key');
    await openKeyFile(path, { logDirectory: null });
    await chown(path, STRANGER, STRANGER);
    await expect(openKeyFile(path, { logDirectory: null })).rejects.toMatchObject({ argument: 'keyFile' });
    await openKeyFile(path, { logDirectory: null, trustOwner: STRANGER });
  });
});

import { execFile, spawn } from 'node:child_process';
import { chmod, chown, mkdtemp, open, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readToken } from '../../../../src/cli/options.js';
import { readInput } from '../../../../src/node/files/input-file.js';
import { secrecyFault } from '../../../../src/node/files/rights.js';

const run = promisify(execFile);
const SECRET = 'correct horse battery staple';
const STRANGER = 54_321;
const isRoot = process.geteuid?.() === 0;
const needsRoot = isRoot ? '' : ' (NOT RUN: only root can give files to another user)';

describe.skipIf(process.platform === 'win32')('a file or pipe that an option names', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'input-'));
    await writeFile(join(folder, 'token'), `${SECRET}\n`, { mode: 0o600 });
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  const token = async (name: string, signal?: AbortSignal): Promise<string> =>
    new TextDecoder().decode(await readToken(join(folder, name), signal === undefined ? {} : { signal }));
  const refused = (message: string) => ({
    code: 'INVALID_INPUT',
    argument: 'token-file',
    message: expect.stringContaining(message),
  });

  it('[CI-006] may be a chain of links, as secrets of Kubernetes are; the file behind them is judged', async () => {
    await symlink('token', join(folder, 'data'));
    await symlink('data', join(folder, 'link'));
    expect(await token('link')).toBe(SECRET);
    await chmod(join(folder, 'token'), 0o644);
    await expect(token('link')).rejects.toMatchObject(refused('chmod 600'));
  });

  it('[CI-006] may be a pipe, also one that is written late or through process substitution', async () => {
    await run('mkfifo', ['-m', '600', join(folder, 'pipe')]);
    const reading = token('pipe');
    const writer = await open(join(folder, 'pipe'), 'w');
    await writer.writeFile(SECRET.slice(0, 5));
    await new Promise((resolve) => setTimeout(resolve, 50));
    await writer.writeFile(`${SECRET.slice(5)}\n`);
    await writer.close();
    expect(await reading).toBe(SECRET);
  });

  it('may be a descriptor that the process was given', async () => {
    const script = `
      import { readInput } from '${new URL('../../../../dist/node/files/input-file.js', import.meta.url).pathname}';
      const bytes = await readInput('token-file', process.argv[1], { maxBytes: 99, secret: true });
      process.stdout.write(bytes);`;
    const node = [process.execPath, '--input-type=module', '-e', script];
    const quoted = node.map((each) => `'${each.replaceAll("'", `'\\''`)}'`).join(' ');
    for (const command of [
      `${quoted} <(printf %s '${SECRET}')`,
      `printf %s '${SECRET}' | ${quoted} /dev/stdin`,
      `${quoted} /dev/stdin < ${folder}/token`,
    ]) {
      expect((await run('bash', ['-c', command])).stdout.trim()).toBe(SECRET);
    }
  });

  it('a pipe that nobody writes to ends with the abort, or with its time', async () => {
    const path = join(folder, 'pipe');
    await run('mkfifo', ['-m', '600', path]);
    const controller = new AbortController();
    const reading = token('pipe', controller.signal);
    setTimeout(() => controller.abort(), 50);
    await expect(reading).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(token('pipe', controller.signal)).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(readInput('file', path, { maxBytes: 9, stallMs: 50 })).rejects.toMatchObject({
      argument: 'file',
    });
  });

  it('is taken up to its limit, from a file and from a pipe without end', async () => {
    const path = join(folder, 'large');
    await writeFile(path, 'x'.repeat(100));
    expect(await readInput('file', path, { maxBytes: 100 })).toHaveLength(100);
    await expect(readInput('file', path, { maxBytes: 99 })).rejects.toThrow('larger than 99 bytes');
    await run('mkfifo', [join(folder, 'pipe')]);
    const endless = spawn('sh', ['-c', `exec yes > '${join(folder, 'pipe')}'`], { stdio: 'ignore' });
    const ended = new Promise((resolve) => endless.once('exit', resolve));
    await expect(readInput('file', join(folder, 'pipe'), { maxBytes: 99 })).rejects.toThrow('larger than');
    await ended;
  });

  it('is nothing else: no directory, no device', async () => {
    await expect(token('.')).rejects.toMatchObject(refused('EISDIR'));
    await expect(token('none')).rejects.toMatchObject(refused('ENOENT'));
    await expect(readToken('/dev/zero')).rejects.toMatchObject(refused('a file or a pipe'));
  });

  it.skipIf(!isRoot)(`[CI-006] of another user is refused, file and named pipe${needsRoot}`, async () => {
    await run('mkfifo', ['-m', '600', join(folder, 'pipe')]);
    for (const name of ['token', 'pipe']) {
      await chown(join(folder, name), STRANGER, STRANGER);
      await expect(token(name)).rejects.toMatchObject(refused(`uid ${STRANGER}`));
    }
  });

  it.skipIf(!isRoot)(
    `a secret of root's is readable by its group, or root's, for a process that is not root${needsRoot}`,
    async () => {
      const script = `
      import { secrecyFault } from '${new URL('../../../../dist/node/files/rights.js', import.meta.url).pathname}';
      process.setgroups([]);
      process.setgid(${STRANGER});
      process.setuid(${STRANGER});
      const fault = (uid, gid, mode) => secrecyFault({ uid, gid, mode }, null) === null;
      console.log(JSON.stringify([
        fault(0, ${STRANGER}, 0o440), fault(0, ${STRANGER}, 0o400), fault(${STRANGER}, ${STRANGER}, 0o600),
        fault(0, 0, 0o440), fault(0, ${STRANGER}, 0o444), fault(0, ${STRANGER}, 0o660), fault(1, ${STRANGER}, 0o600),
      ]));`;
      const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script]);
      expect(JSON.parse(stdout)).toEqual([true, true, true, true, false, false, false]);
      expect(secrecyFault({ uid: 0, gid: 0, mode: 0o440 }, null)).toContain('chmod 600');
    },
  );
});

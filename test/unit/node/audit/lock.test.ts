import { type ChildProcess, spawn } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { verifyAudit } from '../../../../src/node/audit/index.js';
import { acquireLock, isHeld } from '../../../../src/node/audit/lock.js';
import {
  type ProcessIdentity,
  type ProcessTable,
  systemProcesses,
} from '../../../../src/node/audit/process-identity.js';
import { nodeFileSystem } from '../../../../src/node/files/file-system.js';
import { emit, event, openLog, scratch, TOKEN } from './support.js';

const US: ProcessIdentity = {
  host: 'node-1',
  bootId: 'boot-1',
  pidNamespace: 'pid:[1]',
  pid: 100,
  startTime: '5',
};

function processes(self: ProcessIdentity, alive: readonly number[] = []): ProcessTable {
  return { self: async () => self, isAlive: async ({ pid }) => alive.includes(pid) };
}

async function place(): Promise<string> {
  const { dir } = await scratch();
  await nodeFileSystem.makeDirectory(dir);
  return dir;
}

const locks = async (dir: string) => (await readdir(dir)).filter((name) => name.startsWith('lock.')).sort();

describe('the lock', () => {
  it('holds host, boot id, PID namespace, pid and start time', async () => {
    const dir = await place();
    await acquireLock(nodeFileSystem, dir, systemProcesses);
    const content = JSON.parse(await readFile(join(dir, 'lock.1'), 'utf8')) as Record<string, unknown>;
    expect(content).toEqual({ v: 1, ...(await systemProcesses.self()) });
    if (process.platform === 'linux') {
      expect(content).toMatchObject({
        pid: process.pid,
        pidNamespace: expect.stringMatching(/^pid:\[\d+\]$/),
      });
      expect(content['bootId']).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  it('is for one writer: a second in this process, or of a live one, is refused', async () => {
    const logs = await scratch();
    const first = await openLog(logs);
    await expect(openLog(logs)).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    await first.observer.on(event('vram.sealed'));
    await first.close();
    await (await openLog(logs)).close();
  });

  it.each([
    ['another host', { host: 'node-2', bootId: 'boot-2' }],
    ['another PID namespace', { pidNamespace: 'pid:[2]' }],
    ['an unknown PID namespace', { pidNamespace: null }],
  ])('of %s is refused, dead or alive', async (_, difference) => {
    const dir = await place();
    await acquireLock(nodeFileSystem, dir, processes({ ...US, ...difference, pid: 99 }));
    await expect(acquireLock(nodeFileSystem, dir, processes(US))).rejects.toMatchObject({
      code: 'AUDIT_FAILED',
    });
    expect(await isHeld(nodeFileSystem, dir, processes(US))).toBe(true);
    expect(await locks(dir)).toEqual(['lock.1']);
  });

  it('of a dead process, and of an earlier boot, is taken over', async () => {
    const dir = await place();
    await acquireLock(nodeFileSystem, dir, processes({ ...US, pid: 99 }));
    expect(await isHeld(nodeFileSystem, dir, processes(US))).toBe(false);
    await acquireLock(nodeFileSystem, dir, processes(US));
    expect(await locks(dir)).toEqual(['lock.2']);
    await acquireLock(
      nodeFileSystem,
      dir,
      processes({ ...US, bootId: 'boot-2', pidNamespace: 'pid:[7]' }, [100]),
    );
    expect(await locks(dir)).toEqual(['lock.3']);
  });

  it('of a live process is not, of a later one with the same id is', async () => {
    const self = await systemProcesses.self();
    expect(await systemProcesses.isAlive(self)).toBe(true);
    if (self.startTime !== null) {
      expect(
        await systemProcesses.isAlive({ pid: self.pid, startTime: `${Number(self.startTime) - 1}` }),
      ).toBe(false);
    }
    const child: ChildProcess = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    const pid = child.pid ?? 0;
    expect(await systemProcesses.isAlive({ pid, startTime: null })).toBe(true);
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    expect(await systemProcesses.isAlive({ pid, startTime: null })).toBe(false);
  });

  it('goes to one of many that find the same dead one', async () => {
    for (let round = 0; round < 15; round++) {
      const dir = await place();
      await acquireLock(nodeFileSystem, dir, processes({ ...US, pid: 1 }));
      const rivals = Array.from({ length: 8 }, (_, index) => 100 + index);
      const results = await Promise.allSettled(
        rivals.map((pid) => acquireLock(nodeFileSystem, dir, processes({ ...US, pid }, rivals))),
      );
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      for (const result of results) {
        if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'AUDIT_FAILED' });
      }
      expect(await locks(dir)).toEqual(['lock.2']);
    }
  });

  it('released stays as a mark, so that a slow competitor cannot take an old number', async () => {
    const dir = await place();
    const first = await acquireLock(nodeFileSystem, dir, processes(US));
    await first.release();
    await first.release();
    expect(await locks(dir)).toEqual(['lock.1.free']);
    expect(await isHeld(nodeFileSystem, dir, processes(US, [100]))).toBe(false);
    const second = await acquireLock(nodeFileSystem, dir, processes({ ...US, pid: 101 }, [100, 101]));
    // The slow one saw no lock at all and takes number 1 now.
    let listings = 0;
    const late = {
      ...nodeFileSystem,
      list: async (path: string) => (listings++ === 0 ? [] : nodeFileSystem.list(path)),
    };
    await expect(
      acquireLock(late, dir, processes({ ...US, pid: 102 }, [100, 101, 102])),
    ).rejects.toMatchObject({
      code: 'AUDIT_FAILED',
    });
    expect(await locks(dir)).toEqual(['lock.2']);
    await second.release();
  });

  it('that cannot be read is nobody\u2019s to take', async () => {
    for (const content of ['', '{"v":1}', '[]', 'x'.repeat(5_000), '{"host":"node-1","pid":-1}']) {
      const dir = await place();
      await writeFile(join(dir, 'lock.4'), content);
      await expect(acquireLock(nodeFileSystem, dir, processes(US))).rejects.toThrow('cannot be read');
    }
  });

  it('two writers at once: one writes, the log stays whole', async () => {
    const logs = await scratch();
    const opened = await Promise.allSettled(Array.from({ length: 4 }, () => openLog(logs)));
    const winners = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(winners).toHaveLength(1);
    for (const log of winners) {
      emit(log, event('vram.sealed'), event('seal.verified'));
      await log.close();
    }
    const report = await verifyAudit(logs.dir, { token: TOKEN, keyFile: logs.keyFile });
    expect(report).toMatchObject({ ok: true, records: 4 });
  });

  it('lets a reader forgive the line that a live writer is in the middle of', async () => {
    const logs = await scratch();
    const log = await openLog(logs);
    await log.head();
    const name = (await readdir(logs.dir)).find((each) => each.endsWith('.ndjson')) ?? '';
    const path = join(logs.dir, name);
    const whole = await readFile(path);
    await writeFile(path, Buffer.concat([whole, Buffer.from('{"correl')]));
    const options = { token: TOKEN, keyFile: logs.keyFile };
    const live = await verifyAudit(logs.dir, options);
    expect(live).toMatchObject({ ok: true, records: 1 });
    expect(live.notes.join()).toContain('The last line was still being written.');
    await writeFile(path, whole);
    await log.close();
    await writeFile(path, Buffer.concat([await readFile(path), Buffer.from('{"correl')]));
    expect((await verifyAudit(logs.dir, options)).bad).toMatchObject({ reason: 'torn', seq: 2 });
  });
});

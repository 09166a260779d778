import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type AuditPlatform, systemPlatform } from '../../../../src/node/audit/directory.js';
import { showAudit, verifyAudit } from '../../../../src/node/audit/index.js';
import { stride } from '../../../support/stride.js';
import { type Fault, FaultyFileSystem, type Operation } from './faulty-fs.js';
import { emit, event, openLog, scratch, TOKEN } from './support.js';

const OPTIONS = { maxSegmentBytes: 2_500 };

function platformOf(fs: FaultyFileSystem): AuditPlatform {
  return { ...systemPlatform, fs };
}

async function shardsOf(dir: string): Promise<string[]> {
  const ids: string[] = [];
  for await (const { data } of showAudit(dir))
    if (typeof data['shardId'] === 'string') ids.push(data['shardId']);
  return ids;
}

const CHANGING: readonly Operation[] = [
  'open',
  'write',
  'truncate',
  'sync',
  'rename',
  'link',
  'remove',
  'syncDirectory',
];

describe('[AU-003] the order of calls', () => {
  it('data before its acknowledgement and its checkpoint; new files and checkpoints before their names', async () => {
    const fs = new FaultyFileSystem();
    const place = await scratch();
    const log = await openLog(place, OPTIONS, platformOf(fs));
    const acknowledged: { at: number; segment: string }[] = [];
    for (let i = 0; i < 12; i++) {
      await log.observer.on(event('vram.sealed'));
      const segment = fs.calls.findLast(
        ({ operation, name }) => operation === 'write' && name.endsWith('.ndjson'),
      );
      acknowledged.push({ at: fs.calls.length, segment: segment?.name ?? '' });
    }
    await log.close();
    const { calls } = fs;
    const lastBefore = (end: number, operation: Operation, name: string) =>
      calls.slice(0, end).findLastIndex((call) => call.operation === operation && call.name === name);

    for (const { at, segment } of acknowledged) {
      const synced = lastBefore(at, 'sync', segment);
      expect(synced).toBeGreaterThan(lastBefore(at, 'write', segment));
      const made = calls.findIndex(({ operation, name }) => operation === 'open' && name === segment);
      const named = calls.findIndex(({ operation }, index) => operation === 'syncDirectory' && index > made);
      expect(named).toBeGreaterThan(made);
      expect(named).toBeLessThan(at);
    }
    const renames = calls.flatMap((call, index) =>
      call.operation === 'rename' && call.name === 'checkpoint' ? [index] : [],
    );
    expect(renames.length).toBeGreaterThan(1);
    for (const index of renames) {
      expect(calls[index - 1]).toEqual({
        operation: 'sync',
        name: expect.stringMatching(/^checkpoint\.[0-9a-f-]{36}\.tmp$/),
      });
      expect(calls[index + 1]).toMatchObject({ operation: 'syncDirectory' });
      const written = calls
        .slice(0, index)
        .findLastIndex((call) => call.operation === 'write' && call.name.endsWith('.ndjson'));
      const name = calls[written]?.name ?? '';
      expect(lastBefore(index, 'sync', name)).toBeGreaterThan(written);
    }
    expect(new Set(acknowledged.map(({ segment }) => segment)).size).toBeGreaterThan(2);
  });
});

describe('[AU-005] a failing disk', () => {
  it.each<[Fault, number]>([
    ['ENOSPC', 1],
    ['EIO', 1],
    ['EACCES', 5],
  ])(
    '%s at every single call (one in %d): acknowledged records are there, the log verifies and goes on',
    async (fault, calls) => {
      const step = calls * stride(9);
      // How many calls an undisturbed run makes.
      const rehearsal = new FaultyFileSystem();
      await run(rehearsal, await scratch());
      const total = rehearsal.calls.length;
      let failed = 0;
      for (let target = 0; target < total; target += step) {
        const fs = new FaultyFileSystem();
        fs.fault = (call, number) => (number === target && CHANGING.includes(call.operation) ? fault : null);
        const place = await scratch();
        const { acknowledged, failures } = await run(fs, place);
        failed += failures > 0 ? 1 : 0;
        const report = await verifyAudit(place.dir, { token: TOKEN, keyFile: place.keyFile });
        expect(report.bad, `call ${target}: ${JSON.stringify(fs.calls[target])}`).toBeNull();
        const there = await shardsOf(place.dir);
        for (const id of acknowledged) expect(there, `call ${target}`).toContain(id);
        expect(new Set(there).size).toBe(there.length);
      }
      expect(failed).toBeGreaterThan(total / step / 3);
    },
    60_000,
  );

  it('short writes at every call change nothing', async () => {
    const fs = new FaultyFileSystem();
    fs.fault = ({ operation }) => (operation === 'write' ? 'short' : null);
    const place = await scratch();
    const { acknowledged, failures } = await run(fs, place);
    expect(failures).toBe(0);
    expect(await shardsOf(place.dir)).toEqual(acknowledged);
    expect((await verifyAudit(place.dir, { token: TOKEN, keyFile: place.keyFile })).bad).toBeNull();
  });

  it('half a line written and then no space: the half is cut away before it is written again', async () => {
    const place = await scratch();
    const fs = new FaultyFileSystem();
    const log = await openLog(place, {}, platformOf(fs));
    let writes = 0;
    fs.fault = ({ operation, name }) => {
      if (operation !== 'write' || !name.endsWith('.ndjson')) return null;
      writes += 1;
      return writes === 1 ? 'short' : 'ENOSPC';
    };
    await expect(log.observer.on(event('vram.sealed'))).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    fs.fault = () => null;
    await log.flush();
    await log.close();
    expect((await verifyAudit(place.dir, { token: TOKEN, keyFile: place.keyFile })).bad).toBeNull();
    expect(await shardsOf(place.dir)).toEqual(['shard-1']);
  });

  it('after a failed fsync everything since the last good one is written again', async () => {
    const place = await scratch();
    const fs = new FaultyFileSystem();
    const log = await openLog(place, {}, platformOf(fs));
    emit(log, event('seal.verified', { shardId: 'early' }));
    await new Promise((resolve) => setTimeout(resolve, 100));
    fs.fault = ({ operation }) => (operation === 'sync' ? 'EIO' : null);
    await expect(log.observer.on(event('vram.sealed'))).rejects.toThrow('EIO');
    fs.fault = () => null;
    const before = fs.calls.length;
    await log.flush();
    const after = fs.calls.slice(before).filter(({ name }) => name.endsWith('.ndjson'));
    expect(after.map(({ operation }) => operation).slice(0, 3)).toEqual(['truncate', 'sync', 'write']);
    expect(after.map(({ operation }) => operation)).toContain('sync');
    await log.close();
    expect(await shardsOf(place.dir)).toEqual(['early', 'shard-1']);
  });

  it('the directory removed or moved away: AUDIT_FAILED, though writing to the open file would succeed', async () => {
    for (const lose of [
      (dir: string) => rm(dir, { recursive: true }),
      (dir: string) => rename(dir, `${dir}.away`),
      async (dir: string) => {
        await rename(dir, `${dir}.away`);
        await mkdir(dir);
      },
    ]) {
      const place = await scratch();
      const log = await openLog(place);
      await log.observer.on(event('vram.sealed'));
      await lose(place.dir);
      await expect(log.observer.on(event('vram.sealed'))).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
      await expect(log.head()).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
      await expect(log.close()).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    }
  });

  it('a checkpoint never covers records that a crash could take away', async () => {
    const place = await scratch();
    const fs = new FaultyFileSystem();
    const log = await openLog(place, {}, platformOf(fs));
    fs.fault = ({ operation, name }) => (operation === 'sync' && name.endsWith('.ndjson') ? 'EIO' : null);
    const before = await readFile(join(place.dir, 'checkpoint'), 'utf8');
    await expect(log.observer.on(event('vram.sealed'))).rejects.toThrow('EIO');
    await expect(log.head()).rejects.toThrow('EIO');
    expect(await readFile(join(place.dir, 'checkpoint'), 'utf8')).toBe(before);
    await expect(log.close()).rejects.toThrow();
  });
});

/** Opens, seals, writes groups over several segments, closes; takes failures as an operator would: again. */
async function run(
  fs: FaultyFileSystem,
  place: { readonly dir: string; readonly keyFile: string },
): Promise<{ readonly acknowledged: string[]; readonly failures: number }> {
  const acknowledged: string[] = [];
  let failures = 0;
  let monotonic = 0;
  const open = () => openLog(place, { ...OPTIONS, monotonicMs: () => (monotonic += 1_000) }, platformOf(fs));
  const again = async <T>(action: () => Promise<T>): Promise<T> => {
    for (let attempt = 0; ; attempt++) {
      try {
        return await action();
      } catch (error) {
        failures += 1;
        if (attempt === 2) throw error;
      }
    }
  };
  const log = await again(open);
  for (let i = 0; i < 3; i++) {
    const grouped = event('seal.verified', { shardId: `grouped-${i}` });
    const critical = event('vram.sealed', { shardId: `critical-${i}` });
    try {
      await log.observer.on(grouped);
      await log.observer.on(critical);
    } catch {
      failures += 1;
      // What was refused may have been written all the same; only what was acknowledged must be there.
      await again(() => log.flush());
    }
    await log.flush();
    acknowledged.push(`grouped-${i}`, `critical-${i}`);
  }
  await log.close().catch(() => {
    failures += 1;
  });
  if (failures > 0) await (await again(open)).close();
  expect((await readdir(place.dir)).length).toBeGreaterThan(0);
  return { acknowledged, failures };
}

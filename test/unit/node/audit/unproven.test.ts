import { randomBytes } from 'node:crypto';
import { appendFile, readdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AUDIT_CATALOGUE } from '../../../../src/audit/format/catalogue.js';
import { unsignedLine } from '../../../../src/audit/format/record.js';
import type { AuditRecord } from '../../../../src/audit/index.js';
import { auditVerifierKey, pruneAudit, showAudit, verifyAudit } from '../../../../src/node/audit/index.js';
import { naiveRoot } from '../../audit/oracle.js';
import { event, openLog, scratch, TOKEN, WORKER } from './support.js';

type Place = Awaited<ReturnType<typeof scratch>>;

/** A closed log of several segments. */
async function written(records = 12): Promise<Place> {
  const place = await scratch();
  const log = await openLog(place, { maxSegmentBytes: 2_000 });
  for (let i = 0; i < records; i++) await log.observer.on(event('vram.sealed'));
  await log.close();
  return place;
}

async function segmentsOf({ dir }: Place): Promise<string[]> {
  return (await readdir(dir)).filter((name) => name.endsWith('.ndjson')).sort();
}

async function linesOf({ dir }: Place, name: string): Promise<string[]> {
  return (await readFile(join(dir, name), 'utf8')).split('\n').slice(0, -1);
}

/** Takes the records of the first segments away and leaves their leaf hashes, which anyone can compute. */
async function hideSegments(place: Place, count: number): Promise<void> {
  for (const name of (await segmentsOf(place)).slice(0, count)) {
    const lines = await linesOf(place, name);
    const leaves = Buffer.concat(lines.map((line) => naiveRoot([Buffer.from(line)])));
    await writeFile(join(place.dir, name.replace('.ndjson', '.leaves')), leaves);
    await unlink(join(place.dir, name));
  }
}

/** A well-formed record behind the last one, by someone without the token: its MAC is random. */
async function forge(place: Place, type: AuditRecord['type'], data: AuditRecord['data']): Promise<void> {
  const records: AuditRecord[] = [];
  for await (const record of showAudit(place.dir)) records.push(record);
  const last = records.at(-1);
  const segment = (await segmentsOf(place)).at(-1);
  if (last === undefined || segment === undefined) throw new Error('the log has no record');
  const { severity } = AUDIT_CATALOGUE[type];
  const forged = { ...last, type, severity, data, seq: last.seq + 1, prev: last.mac };
  const { head, tail } = unsignedLine(forged);
  await appendFile(join(place.dir, segment), `${head}"mac":"${randomBytes(32).toString('hex')}",${tail}\n`);
}

/** The `audit.pruned` record that would explain why nothing is left before the first segment that is there. */
async function forgePruned(place: Place): Promise<void> {
  for await (const record of showAudit(place.dir)) {
    await forge(place, 'audit.pruned', {
      before: record.ts,
      firstKeptEpoch: record.epoch,
      firstKeptSeq: record.seq,
      prev: record.prev,
      removedRecords: record.seq,
      removedSegments: record.epoch,
      retentionDays: 0,
    });
    return;
  }
}

describe('[AU-002] what nothing proves explains nothing', () => {
  it('a forged audit.pruned behind the checkpoint does not explain removed records', async () => {
    const place = await written();
    const elsewhere = await readFile(join(place.dir, 'checkpoint'), 'utf8');
    const verifierKey = await auditVerifierKey(place.dir, { keyFile: place.keyFile });
    await hideSegments(place, 2);
    await forgePruned(place);
    for (const checkpoint of [{}, { checkpoint: elsewhere }]) {
      const report = await verifyAudit(place.dir, { verifierKey, ...checkpoint });
      expect(report).toMatchObject({ ok: false, bad: { reason: 'unexplained-pruning' } });
    }
    const report = await verifyAudit(place.dir, { verifierKey, token: TOKEN });
    expect(report).toMatchObject({ ok: false, bad: { reason: 'bad-mac' } });
  });

  it('nor does one that would say that more was to go', async () => {
    const place = await written();
    const verifierKey = await auditVerifierKey(place.dir, { keyFile: place.keyFile });
    await hideSegments(place, 2);
    await forge(place, 'audit.pruned', {
      before: '2026-01-01T00:00:00.000Z',
      firstKeptEpoch: 99,
      firstKeptSeq: 10_000,
      prev: '00'.repeat(32),
      removedRecords: 10_000,
      removedSegments: 99,
      retentionDays: 0,
    });
    const report = await verifyAudit(place.dir, { verifierKey });
    expect(report).toMatchObject({ ok: false, bad: { reason: 'unexplained-pruning' } });
  });

  it('hashes of two removed segments in one file are found: an epoch is counted, not believed', async () => {
    const place = await scratch();
    for (const year of [2012, 2013, 2024]) {
      const now = () => new Date(`${year}-03-01T00:00:00.000Z`);
      await (await openLog(place, { now })).close();
    }
    const now = () => new Date('2025-06-01T00:00:00.000Z');
    const keys = { keyFile: place.keyFile };
    const { removedSegments } = await pruneAudit(place.dir, { token: TOKEN, workerId: WORKER, now, ...keys });
    expect(removedSegments).toHaveLength(2);
    for (const how of [keys, { token: TOKEN, ...keys }]) {
      expect((await verifyAudit(place.dir, how)).bad).toBeNull();
    }
    const [first = '', second = ''] = removedSegments.map((stem) => join(place.dir, `${stem}.leaves`));
    await appendFile(first, await readFile(second));
    await unlink(second);
    for (const how of [keys, { token: TOKEN, ...keys }]) {
      expect((await verifyAudit(place.dir, how)).bad).toMatchObject({ reason: 'wrong-epoch' });
    }
    await expect(openLog(place, { verifyAll: true })).rejects.toMatchObject({ code: 'AUDIT_CORRUPT' });
  });
});

describe('[AU-002] the line of a verifier key', () => {
  it('names a log by a checkpoint that the key signed, not by whatever lies in the directory', async () => {
    const place = await written(1);
    const path = join(place.dir, 'checkpoint');
    const note = await readFile(path, 'utf8');
    await writeFile(path, note.replaceAll(/[0-9a-f]{32}/g, 'ab'.repeat(16)));
    await expect(auditVerifierKey(place.dir, { keyFile: place.keyFile })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'keyFile',
    });
    await writeFile(path, note);
    expect(await auditVerifierKey(place.dir, { keyFile: place.keyFile })).toContain(note.split('\n')[0]);
  });
});

describe('[AU-002] the log that is expected', () => {
  it('is required of a directory by its id or by its verifier key, and nothing else goes on in its place', async () => {
    const place = await written(1);
    const line = await auditVerifierKey(place.dir, { keyFile: place.keyFile });
    const logId = line.split('+')[0]?.split('/')[2] ?? '';
    for (const expected of [{ logId }, { verifierKey: line }, { logId, verifierKey: line }]) {
      await (await openLog(place, expected)).close();
    }
    // Another log of the same worker, with the same token and key; and none at all.
    const other = { ...(await scratch()), keyFile: place.keyFile };
    for (const dir of [other.dir, join(other.root, 'none')]) {
      if (dir === other.dir) await (await openLog(other)).close();
      for (const expected of [{ logId }, { verifierKey: line }]) {
        await expect(openLog({ ...other, dir }, expected)).rejects.toMatchObject({
          code: 'AUDIT_CORRUPT',
          message: expect.stringContaining(`log ${logId} was expected`),
        });
      }
    }
    const { bad } = await verifyAudit(other.dir, { token: TOKEN, keyFile: other.keyFile, logId });
    expect(bad).toMatchObject({ reason: 'checkpoint-origin' });
  });

  it('is signed by the key that was expected, which is not made anew', async () => {
    const place = await written(1);
    const line = await auditVerifierKey(place.dir, { keyFile: place.keyFile });
    const another = { ...place, keyFile: join(place.root, 'another') };
    const refused = { code: 'INVALID_INPUT', argument: 'keyFile' };
    await expect(openLog(another, { verifierKey: line })).rejects.toMatchObject(refused);
    await expect(readFile(another.keyFile)).rejects.toMatchObject({ code: 'ENOENT' });
    await (await openLog({ ...another, dir: join(place.root, 'new') })).close();
    await expect(openLog(another, { verifierKey: line })).rejects.toMatchObject({ argument: 'verifierKey' });
    for (const [options, argument] of [
      [{ logId: 'short' }, 'logId'],
      [{ verifierKey: 'x' }, 'verifierKey'],
      [{ verifierKey: line, workerId: 'worker-2' }, 'verifierKey'],
      [{ verifierKey: line, logId: 'ab'.repeat(16) }, 'verifierKey'],
    ] as const) {
      await expect(openLog(place, options)).rejects.toMatchObject({ code: 'INVALID_INPUT', argument });
    }
  });
});

describe('[AU-002] verifyAll finds what "audit verify" finds', () => {
  it('segments that were replaced by their hashes', async () => {
    const place = await written();
    await hideSegments(place, 2);
    await expect(openLog(place, { verifyAll: true })).rejects.toMatchObject({
      code: 'AUDIT_CORRUPT',
      message: expect.stringContaining('without an audit.pruned record'),
    });
  });

  it('a segment that was deleted, a byte that was changed, and hashes that end too early', async () => {
    for (const damage of ['deleted', 'changed', 'short'] as const) {
      const place = await written();
      const [, second = ''] = await segmentsOf(place);
      const path = join(place.dir, second);
      if (damage === 'deleted') await unlink(path);
      else if (damage === 'changed') {
        await writeFile(path, (await readFile(path, 'utf8')).replace('shard-1', 'shard-2'));
      } else {
        await hideSegments(place, 1);
        const [leaves = ''] = (await readdir(place.dir)).filter((name) => name.endsWith('.leaves'));
        await appendFile(join(place.dir, leaves), 'x');
      }
      expect((await verifyAudit(place.dir, { token: TOKEN, keyFile: place.keyFile })).ok, damage).toBe(false);
      await expect(openLog(place, { verifyAll: true }), damage).rejects.toMatchObject({
        code: 'AUDIT_CORRUPT',
      });
    }
  });

  it.each([0, 2])('a checkpoint that was removed, with the first %i segments', async (count) => {
    const place = await written();
    await unlink(join(place.dir, 'checkpoint'));
    for (const name of (await segmentsOf(place)).slice(0, count)) await unlink(join(place.dir, name));
    const verifying = verifyAudit(place.dir, { token: TOKEN });
    expect((await verifying).bad).toMatchObject({ reason: 'checkpoint-missing' });
    for (const verifyAll of [true, false])
      await expect(openLog(place, { verifyAll })).rejects.toMatchObject({ code: 'AUDIT_CORRUPT' });
  });

  it('and nothing in a log that is whole, pruned by its writer, or left by a crash', async () => {
    const place = await written();
    await (await openLog(place, { verifyAll: true })).close();
    const segment = join(place.dir, (await segmentsOf(place)).at(-1) ?? '');
    await appendFile(segment, '{"correlationId":null,"da');
    await (await openLog(place, { verifyAll: true })).close();
    await writeFile(join(place.dir, '0000000000000999-2099-01-01.ndjson'), '');
    await expect(openLog(place, { verifyAll: true })).rejects.toMatchObject({ code: 'AUDIT_CORRUPT' });
  });
});

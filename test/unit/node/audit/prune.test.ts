import { readdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exportTiles, proveAudit, pruneAudit, verifyAudit } from '../../../../src/node/audit/index.js';
import { naiveRoot } from '../../audit/oracle.js';
import { event, openLog, scratch, TOKEN } from './support.js';

type Place = Awaited<ReturnType<typeof scratch>>;

describe('pruning', () => {
  const now = () => new Date('2025-06-01T00:00:00.000Z');

  async function old(): Promise<Place> {
    const place = await scratch();
    for (const year of [2012, 2013, 2016, 2020, 2024]) {
      const clock = () => new Date(`${year}-03-01T00:00:00.000Z`);
      const log = await openLog(place, { now: clock, maxSegmentBytes: 2_500 });
      for (let i = 0; i < 4; i++) await log.observer.on(event('vram.sealed', { at: clock().toISOString() }));
      await log.close();
    }
    return place;
  }

  const options = (place: Place) => ({ token: TOKEN, workerId: 'worker-1', keyFile: place.keyFile, now });

  it('removes what is older than seven years, says so first, and the rest still verifies', async () => {
    const place = await old();
    const before = await verifyAudit(place.dir, { token: TOKEN, keyFile: place.keyFile });
    expect(before.ok).toBe(true);
    const kept = await readFile(join(place.dir, 'checkpoint'), 'utf8');
    const dry = await pruneAudit(place.dir, { ...options(place), dryRun: true });
    const report = await pruneAudit(place.dir, options(place));
    expect(report.removedSegments).toEqual(dry.removedSegments);
    expect(report.removedRecords).toBeGreaterThan(12);
    const names = await readdir(place.dir);
    for (const stem of report.removedSegments) {
      expect(names).toContain(`${stem}.leaves`);
      expect(names).not.toContain(`${stem}.ndjson`);
      expect(stem.slice(17, 21) < '2018').toBe(true);
    }
    for (const how of [{ token: TOKEN }, {}]) {
      const after = await verifyAudit(place.dir, { ...how, keyFile: place.keyFile, checkpoint: kept });
      expect(after.bad).toBeNull();
      expect(after).toMatchObject({
        prunedRecords: report.removedRecords,
        external: { size: before.records },
      });
    }
    const seq = report.firstKeptSeq ?? 0;
    const proof = await proveAudit(place.dir, { seq });
    expect(proof).toMatchObject({ index: seq });
    await expect(proveAudit(place.dir, { seq: 0 })).rejects.toThrow('pruned');
    expect((await exportTiles(place.dir, join(place.root, 'tiles'))).minimumIndex).toBeGreaterThanOrEqual(
      seq,
    );
    const again = await openLog(place, { now });
    await again.close();
    expect((await verifyAudit(place.dir, { token: TOKEN, keyFile: place.keyFile })).ok).toBe(true);
    await unlink(join(place.dir, 'frontier.json'));
    await (await openLog(place, { now })).close();
    expect((await pruneAudit(place.dir, options(place))).removedRecords).toBe(0);
  });

  it('keeps what is younger than the retention, whatever is asked', async () => {
    const place = await old();
    await expect(pruneAudit(place.dir, { ...options(place), before: '2024-01-01' })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'before',
    });
    const shorter = await pruneAudit(place.dir, {
      ...options(place),
      before: '2024-01-01',
      retentionDays: 365,
      dryRun: true,
    });
    expect(shorter.removedSegments.at(-1)?.slice(17, 21)).toBe('2020');
  });

  it('[AU-002] removed records without a record that says so are found', async () => {
    const place = await old();
    const names = (await readdir(place.dir)).filter((name) => name.endsWith('.ndjson')).sort();
    const first = join(place.dir, names[0] ?? '');
    const lines = (await readFile(first, 'utf8')).split('\n').slice(0, -1);
    await writeFile(
      first.replace('.ndjson', '.leaves'),
      Buffer.concat(lines.map((line) => naiveRoot([Buffer.from(line)]))),
    );
    await unlink(first);
    const keys = { keyFile: place.keyFile };
    expect((await verifyAudit(place.dir, { token: TOKEN, ...keys })).bad?.reason).toBe('unexplained-pruning');
    expect((await verifyAudit(place.dir, keys)).bad?.reason).toBe('unexplained-pruning');
  });

  it('[AU-002] retained hashes that were changed are found', async () => {
    const place = await old();
    const { removedSegments } = await pruneAudit(place.dir, options(place));
    const path = join(place.dir, `${removedSegments[0]}.leaves`);
    const leaves = await readFile(path);
    for (const [bytes, reason] of [
      [Buffer.concat([Buffer.alloc(1, leaves[0] === 0 ? 1 : 0), leaves.subarray(1)]), 'root-mismatch'],
      [leaves.subarray(0, -1), 'retained-hashes'],
      [leaves.subarray(32), 'missing-segment'],
    ] as const) {
      await writeFile(path, bytes);
      expect((await verifyAudit(place.dir, { token: TOKEN, keyFile: place.keyFile })).bad?.reason).toBe(
        reason,
      );
    }
    await writeFile(path, leaves);
    await unlink(join(place.dir, `${removedSegments[1]}.leaves`));
    expect((await verifyAudit(place.dir, { token: TOKEN, keyFile: place.keyFile })).bad?.reason).toBe(
      'missing-segment',
    );
  });

  it('refuses a log that does not verify, and one that a writer has open', async () => {
    const place = await old();
    const log = await openLog(place);
    await expect(pruneAudit(place.dir, options(place))).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    await log.close();
    const name = (await readdir(place.dir)).filter((each) => each.endsWith('.ndjson')).sort()[2] ?? '';
    const path = join(place.dir, name);
    await writeFile(path, (await readFile(path, 'utf8')).replace('shard-1', 'shard-2'));
    await expect(pruneAudit(place.dir, options(place))).rejects.toMatchObject({ code: 'AUDIT_CORRUPT' });
  });
});

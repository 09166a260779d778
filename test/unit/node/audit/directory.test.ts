import { readdir, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { verifyAudit } from '../../../../src/node/audit/index.js';
import { emit, event, openLog, scratch, TOKEN } from './support.js';

describe('a log directory', () => {
  it('[AU-001] is written, closed, opened again and verified', async () => {
    const place = await scratch();
    const log = await openLog(place);
    await log.observer.on(event('vram.sealed'));
    emit(log, event('seal.verified'));
    await log.close();
    const again = await openLog(place);
    for (let i = 0; i < 600; i++) emit(again, event('vram.allocated'));
    await again.close();
    expect((await readdir(place.dir)).sort()).toEqual([
      `0000000000000000-${new Date().toISOString().slice(0, 10)}.ndjson`,
      'checkpoint',
      'frontier.json',
      'lock.2.free',
    ]);
    const report = await verifyAudit(place.dir, { token: TOKEN, keyFile: place.keyFile });
    expect(report.bad).toBeNull();
    expect(report).toMatchObject({ ok: true, records: 606, chain: 'verified', signature: 'verified' });
  });

  it('makes its key also where an attempt with the same process id has left its file, and leaves none itself', async () => {
    const place = await scratch();
    // In a container every start may have the same process id.
    await writeFile(`${place.keyFile}.${process.pid}.tmp`, 'half a key');
    const log = await openLog(place);
    await log.close();
    expect((await readdir(place.root)).sort()).toEqual(['key', `key.${process.pid}.tmp`, 'log']);
  });
});

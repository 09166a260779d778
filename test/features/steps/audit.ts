import { expect } from 'vitest';
import { verifyLog } from '../../../src/audit/index.js';
import { nodeCrypto } from '../../../src/node/crypto.js';
import { memoryLogSource } from '../../support/memory-log-source.js';
import { token } from '../../unit/manager/fixture.js';
import type { StepBook } from '../gherkin.js';
import type { World } from '../world.js';

/** The audit log. */
export function auditSteps(book: StepBook<World>): void {
  book.define('the audit log holds these records, in this order:', async (world, values) => {
    const found = (await world.records()).map(({ severity, type }) => `${severity} ${type}`);
    const expected = values.rows.map(([severity = '', type = '']) => `${severity} ${type}`);
    expect(found.filter((record) => !record.includes('audit.'))).toEqual(expected);
  });

  book.define('the audit log cannot be written', (world) => {
    world.auditBroken = true;
  });

  book.define('the audit log can be written again', (world) => {
    world.auditBroken = false;
  });

  book.define('the audit log verifies', async (world) => {
    await world.log?.head();
    expect(await verified(world, world.sink.segments())).toMatchObject({
      ok: true,
      chain: 'verified',
      bad: null,
    });
  });

  book.define('a {logChange} in the audit log is found', async (world, values) => {
    await world.log?.head();
    const segments = world.sink.segments();
    const [{ stem, bytes } = { stem: '', bytes: new Uint8Array() }] = segments;
    const lines = new TextDecoder().decode(bytes).trimEnd().split('\n');
    expect(lines.length).toBeGreaterThan(4);
    expect(await verified(world, segments)).toMatchObject({ ok: true });
    const changed = changedLines(values.text(0), lines);
    const forged = [{ stem, bytes: new TextEncoder().encode(`${changed.join('\n')}\n`) }];
    const report = await verified(world, forged);
    expect(report.ok).toBe(false);
    // The first record that is not what it was.
    expect(report.bad?.seq).toBe(2);
  });

  book.define('every record names the worker and a correlation id', async (world) => {
    const records = await world.records();
    expect(records.length).toBeGreaterThan(0);
    for (const record of records) expect(record.workerId).toBe('worker-1');
    for (const record of records.filter(({ type }) => !type.startsWith('audit.'))) {
      expect(record.correlationId).toMatch(/./);
    }
  });
}

async function verified(
  world: World,
  segments: readonly { readonly stem: string; readonly bytes: Uint8Array }[],
) {
  const checkpoint = world.sink.latestCheckpoint?.note ?? null;
  return await verifyLog(nodeCrypto, memoryLogSource(nodeCrypto, segments, checkpoint), { token: token() });
}

/** The lines with one thing wrong from record 2 on. */
function changedLines(change: string, lines: readonly string[]): string[] {
  const [first = '', second = '', third = '', fourth = '', ...rest] = lines;
  switch (change) {
    case 'changed letter':
      return [first, second, third.replace('worker-1', 'worker-2'), fourth, ...rest];
    case 'record removed':
      return [first, second, fourth, ...rest];
    case 'record written twice':
      return [first, second, second, third, fourth, ...rest];
    case 'pair of records swapped':
      return [first, second, fourth, third, ...rest];
    default:
      return [first, second, third.replace(/"type":"[a-z._]+"/, '"type":"seal.verified"'), fourth, ...rest];
  }
}

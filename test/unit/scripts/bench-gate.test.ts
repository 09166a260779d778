import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { compared } from '../../../scripts/bench-gate.mjs';
import { drawing } from '../../../scripts/performance-drawing.mjs';
import { measurePair, quantile } from '../../../src/cli/bench/measure.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const committed = {
  hashers: ['avx512', 'sha-ni'],
  device: { id: 'host', name: 'system memory' },
  pairs: [
    { id: 'verify', ours: 'verify 64 MiB in place', ratio: 4 },
    { id: 'digest-openssl', ours: 'digest', ratio: 2 },
  ],
};
type Document = typeof committed;

/** The committed document with other ratios for some rows. */
function measured(ratios: Readonly<Record<string, number>>, rest: Partial<Document> = {}): Document {
  const pairs = committed.pairs.map((pair) => ({ ...pair, ratio: ratios[pair.id] ?? pair.ratio }));
  return { ...committed, pairs, ...rest };
}

const verdicts = (document: Document) => compared(committed, document).rows.map(({ verdict }) => verdict);

describe('the gate of bench', () => {
  it('passes what holds, is faster, or fell by less than 20 %', () => {
    expect(compared(committed, measured({ verify: 3.21, 'digest-openssl': 9 }))).toMatchObject({
      failed: false,
    });
  });

  it('fails a row that fell by more, and names it', () => {
    const slow = measured({ verify: 3.19 });
    expect(compared(committed, slow).failed).toBe(true);
    expect(verdicts(slow)).toEqual(['fell', 'holds']);
  });

  it('fails a row that is gone, unless its peer is a program that is not installed here', () => {
    const [verify, openssl] = committed.pairs;
    expect(compared(committed, measured({}, { pairs: [verify ?? fail()] })).failed).toBe(false);
    expect(verdicts(measured({}, { pairs: [openssl ?? fail()] }))).toEqual(['gone', 'holds']);
    expect(compared(committed, measured({}, { pairs: [openssl ?? fail()] })).failed).toBe(true);
  });

  it('does not compare rows of other sizes', () => {
    const pairs = committed.pairs.map((pair) => ({ ...pair, ours: `${pair.ours}, half`, ratio: 0.1 }));
    expect(compared(committed, { ...committed, pairs }).failed).toBe(false);
  });

  it.each<[string, Partial<Document>]>([
    ['a processor with other instructions', { hashers: ['avx2'] }],
    ['another device', { device: { id: 'webgpu:0', name: 'a GPU' } }],
  ])('compares nothing on %s, and says so', (_, rest) => {
    const { why, rows, failed } = compared(committed, measured({ verify: 0.1 }, rest));
    expect(why).toMatch(/instructions|device/);
    expect(rows).toEqual([]);
    expect(failed).toBe(false);
  });

  it('as a command: 1 for a planted slow row of the committed record, 0 for the record itself', () => {
    const folder = mkdtempSync(join(tmpdir(), 'gate-'));
    try {
      const record = JSON.parse(readFileSync(join(root, 'docs/performance.json'), 'utf8'));
      const gate = (document: unknown) => {
        const report = join(folder, 'report.json');
        writeFileSync(report, JSON.stringify(document));
        const args = ['scripts/bench-gate.mjs', '--report', report];
        const { status, stdout } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
        return { status, stdout };
      };
      expect(gate(record).status).toBe(0);
      record.pairs[0].ratio *= 0.7;
      expect(gate(record)).toMatchObject({ status: 1, stdout: expect.stringMatching(/^leaves .* fell$/m) });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('bench', () => {
  it('gives quartiles by linear interpolation', () => {
    expect([0, 0.25, 0.5, 0.75, 1].map((part) => quantile([4, 1, 3, 2], part))).toEqual([
      1, 1.75, 2.5, 3.25, 4,
    ]);
    expect(quantile([7], 0.75)).toBe(7);
  });

  it('gives a pair its id, and quartiles around its ratio', async () => {
    const run = async () => undefined;
    const pair = await measurePair(
      'row',
      { name: 'a', run },
      { name: 'b', run },
      5,
      new AbortController().signal,
    );
    expect(pair).toMatchObject({ id: 'row', ours: 'a', peer: 'b', rounds: 5 });
    expect(pair.ratioLow).toBeLessThanOrEqual(pair.ratio);
    expect(pair.ratioHigh).toBeGreaterThanOrEqual(pair.ratio);
  });

  it('is drawn from the committed record', () => {
    const record = JSON.parse(readFileSync(join(root, 'docs/performance.json'), 'utf8'));
    expect(drawing(record)).toBe(readFileSync(join(root, 'docs/performance.svg'), 'utf8'));
  });
});

function fail(): never {
  throw new Error('the sample has two rows');
}

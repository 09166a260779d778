import { describe, expect, it } from 'vitest';
import { KeyRatchet } from '../../../../src/audit/format/keys.js';
import type { AuditReport } from '../../../../src/audit/index.js';
import type {
  AuditFault,
  BadRecord,
  SegmentJob,
  SegmentResult,
} from '../../../../src/audit/verify/segment-verifier.js';
import { verifyLog } from '../../../../src/audit/verify/verifier.js';
import type { CryptoProvider } from '../../../../src/crypto/provider.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { memoryLogSource } from '../../../support/memory-log-source.js';
import { refusal } from '../../../support/refusal.js';
import { TOKEN, WORKER } from '../events.js';
import { naiveRoot } from '../oracle.js';
import {
  bad,
  edited,
  fileOf,
  LOG_ID,
  type Log,
  NO_EXTERNAL,
  noon,
  ORIGIN,
  ownKey,
  type SegmentFile,
  sourceOf,
  utf8,
  verify,
  write,
  ZEROS,
} from './log-fixture.js';

const NO_TOKEN =
  'Without the token the MACs were not verified: a holder of the signing key can rewrite history.';

/** Two records on the 1st, two on the 2nd, one on the 3rd. */
async function fiveRecords(): Promise<Log> {
  const opened = { type: 'audit.opened', data: { verifierKey: await ownKey() } } as const;
  return write([
    { ts: noon(1), ...opened },
    { ts: noon(1) },
    { ts: noon(2), ...opened },
    { ts: noon(2) },
    { ts: noon(3) },
  ]);
}

/** The root of the first records, as a checkpoint says it. */
const headAt = ({ lines }: Log, size: number): { size: number; root: string } => ({
  size,
  root: naiveRoot(lines.slice(0, size).map(utf8)).toString('base64'),
});

/** A fault of which only a range of records is known. */
const unplaced = (reason: AuditFault, message: string): BadRecord => bad(null, null, null, reason, message);

describe('the report of a good log', () => {
  it('says what was checked, with the token, with the public key and with both', async () => {
    const log = await fiveRecords();
    const source = sourceOf(log.segments, log.notes[5] ?? '');
    const report: AuditReport = {
      v: 1,
      ok: true,
      origin: ORIGIN,
      records: 5,
      prunedRecords: 0,
      segments: 3,
      chain: 'verified',
      signature: 'verified',
      checkpoint: headAt(log, 5),
      external: null,
      recordsPastCheckpoint: 0,
      bad: null,
      notes: [NO_EXTERNAL],
    };
    const key = await ownKey();
    expect(await verify(source)).toEqual(report);
    expect(await verify(source, { token: TOKEN, verifierKey: key })).toEqual(report);
    expect(await verify(source, { verifierKey: key })).toEqual({
      ...report,
      chain: 'links-only',
      notes: [NO_TOKEN, NO_EXTERNAL],
    });
    expect(await verify(source, { token: TOKEN, checkpoint: log.notes[3] ?? '' })).toEqual({
      ...report,
      external: headAt(log, 3),
      notes: [],
    });
  });

  it('counts the records past the checkpoint, which nothing but the token proves', async () => {
    const log = await fiveRecords();
    const source = sourceOf(log.segments, log.notes[3] ?? '');
    expect(await verify(source)).toMatchObject({
      ok: true,
      checkpoint: headAt(log, 3),
      recordsPastCheckpoint: 2,
      notes: [NO_EXTERNAL],
    });
    expect(await verify(source, { verifierKey: await ownKey() })).toMatchObject({
      ok: true,
      recordsPastCheckpoint: 2,
      notes: [NO_TOKEN, 'Nothing proves the 2 records after the checkpoint without the token.', NO_EXTERNAL],
    });
  });

  it('holds for a checkpoint of any size from 0 on, and takes several keys that the log named', async () => {
    const log = await fiveRecords();
    for (const [size, note] of log.notes.entries()) {
      expect(await verify(sourceOf(log.segments, note)), String(size)).toMatchObject({
        ok: true,
        checkpoint: headAt(log, size),
        recordsPastCheckpoint: 5 - size,
      });
    }
    const renewed = await write([
      { ts: noon(1), type: 'audit.opened', data: { verifierKey: await ownKey(8) } },
      { ts: noon(1), type: 'audit.opened', data: { verifierKey: await ownKey() } },
    ]);
    expect(await verify(sourceOf(renewed.segments, renewed.notes[2] ?? ''))).toMatchObject({ ok: true });
    const unnamed = await write([{ ts: noon(1) }]);
    expect((await verify(sourceOf(unnamed.segments, unnamed.notes[1] ?? ''))).bad).toEqual(
      unplaced('checkpoint-signature', "the checkpoint of the log is not signed by the log's key"),
    );
  });

  it('is told of as it grows', async () => {
    const log = await fiveRecords();
    const told: object[] = [];
    const onProgress = (progress: object): void => void told.push(progress);
    await verify(sourceOf(log.segments, log.notes[5] ?? ''), { token: TOKEN, onProgress });
    expect(told).toEqual([
      { records: 2, segments: 1 },
      { records: 4, segments: 2 },
      { records: 5, segments: 3 },
    ]);
    told.length = 0;
    const broken = edited(log, 1, ([first = '']) => [first, 'x']);
    await verify(sourceOf(broken, log.notes[5] ?? ''), { token: TOKEN, onProgress });
    expect(told).toEqual([{ records: 2, segments: 1 }]);
  });
});

describe('what cannot be verified', () => {
  it('for want of a key, or for options that cannot be read, is refused', async () => {
    const log = await fiveRecords();
    const source = sourceOf(log.segments, log.notes[5] ?? '');
    expect(await refusal(() => verify(source, {}))).toBe(
      'INVALID_INPUT: "verifierKey" or a token must be given: without a key the log cannot be verified',
    );
    expect(await refusal(() => verify(source, { verifierKey: 'x' }))).toContain(
      'INVALID_INPUT: "verifierKey"',
    );
    expect(await refusal(() => verify(source, { token: TOKEN, checkpoint: 'x' }))).toBe(
      'INVALID_INPUT: "checkpoint" must be a signed note',
    );
    expect(await refusal(() => verify(source, { token: TOKEN, concurrency: 0 }))).toBe(
      'INVALID_INPUT: "concurrency" must be an integer of at least 1, got 0',
    );
  });

  it('for want of a checkpoint is bad from record 0, and nothing of it is read', async () => {
    const log = await fiveRecords();
    const report: AuditReport = {
      v: 1,
      ok: false,
      origin: null,
      records: 0,
      prunedRecords: 0,
      segments: 3,
      chain: 'not-verified',
      signature: 'not-verified',
      checkpoint: null,
      external: null,
      recordsPastCheckpoint: 0,
      bad: bad(
        0,
        null,
        null,
        'checkpoint-missing',
        'record 0 is under no checkpoint: the checkpoint file is missing',
      ),
      notes: [NO_EXTERNAL],
    };
    const run = (): never => {
      throw new Error('a segment was read');
    };
    expect(await verify(sourceOf(log.segments, null, { run }))).toEqual(report);
    expect(await verify(sourceOf(log.segments, 'no note', { run }))).toEqual({
      ...report,
      bad: bad(0, null, null, 'checkpoint-unreadable', 'record 0 is under a checkpoint that cannot be read'),
    });
    // What is not text at all is a fault of the source, not of the log.
    const noText: string = JSON.parse('5');
    await expect(verify(sourceOf(log.segments, noText))).rejects.toThrow(TypeError);
  });

  it('for want of its own checkpoint is read as the one kept elsewhere names it', async () => {
    const log = await fiveRecords();
    const options = { token: TOKEN, checkpoint: log.notes[5] ?? '' };
    expect(await verify(sourceOf(log.segments, null), options)).toEqual({
      v: 1,
      ok: false,
      origin: ORIGIN,
      records: 5,
      prunedRecords: 0,
      segments: 3,
      chain: 'verified',
      signature: 'not-verified',
      checkpoint: null,
      external: null,
      recordsPastCheckpoint: 0,
      bad: bad(
        0,
        null,
        null,
        'checkpoint-missing',
        'record 0 is under no checkpoint: the checkpoint file is missing',
      ),
      notes: [],
    });
    expect((await verify(sourceOf(log.segments, 'no note'), options)).bad?.reason).toBe(
      'checkpoint-unreadable',
    );
    // A bad record is told before what is wrong with the checkpoint.
    expect(
      (
        await verify(
          sourceOf(
            edited(log, 0, () => ['x']),
            null,
          ),
          options,
        )
      ).bad,
    ).toEqual(bad(0, log.segments[0]?.stem ?? '', 0, 'not-json', 'record 0 is not JSON'));
  });
});

describe('segments that do not follow each other', () => {
  it('leave records out, or come twice, or have nothing in them', async () => {
    const log = await fiveRecords();
    const [first, second, third] = log.segments;
    if (first === undefined || second === undefined || third === undefined)
      throw new Error('too few segments');
    const check = async (...segments: readonly SegmentFile[]): Promise<AuditReport> =>
      verify(sourceOf(segments, log.notes[5] ?? ''));
    const gap = await check(first, third);
    expect(gap).toMatchObject({
      ok: false,
      records: 2,
      segments: 2,
      signature: 'not-verified',
      checkpoint: null,
    });
    expect(gap.bad).toEqual(
      bad(2, third.stem, null, 'missing-segment', 'record 2 is missing with its segment'),
    );
    expect((await check(second, third)).bad).toEqual(
      bad(0, second.stem, null, 'missing-segment', 'record 0 is missing with its segment'),
    );
    const early = { stem: '0000000000000001-2026-03-02', lines: [] };
    expect((await check(first, early, third)).bad).toEqual(
      bad(2, early.stem, null, 'wrong-segment-name', 'record 2 is not the one in the name of its file'),
    );
    expect((await check(first, { ...second, lines: [] }, third)).bad).toEqual(
      bad(2, second.stem, 0, 'missing-segment', 'record 2 is missing with its segment'),
    );
    expect((await check({ ...first, lines: [] })).bad).toEqual(
      bad(0, first.stem, null, 'missing-segment', 'record 0 is missing with its segment'),
    );
    expect((await check()).bad).toEqual(
      bad(0, null, null, 'missing-segment', 'record 0 is missing with its segment'),
    );
    // A crash between making a segment and writing to it leaves the newest empty.
    const empty = { stem: '0000000000000005-2026-03-04', lines: [] };
    expect(await check(first, second, third, empty)).toMatchObject({ ok: true, records: 5, segments: 4 });
    // What is wrong in a segment is told, not that it has no record.
    expect((await check(first, { ...second, lines: ['x'] }, third)).bad).toEqual(
      bad(2, second.stem, 0, 'not-json', 'record 2 is not JSON'),
    );
  });

  it('are found though every MAC holds, by the prev of their first records', async () => {
    const log = await fiveRecords();
    const other = await write([{ ts: noon(1) }, { ts: noon(1) }, { ts: noon(2) }, { ts: noon(2) }]);
    const stem = log.segments[1]?.stem ?? '';
    const spliced = edited(log, 1, () => other.segments[1]?.lines ?? []);
    const wrong = await verify(sourceOf(spliced, log.notes[5] ?? ''));
    expect(wrong).toMatchObject({ records: 2 });
    expect(wrong.bad).toEqual(bad(2, stem, 0, 'wrong-prev', 'record 2 does not follow the record before it'));
    const headless = edited(log, 0, ([line = '', ...rest]) => [
      line.replace(ZEROS, 'ab'.repeat(32)),
      ...rest,
    ]);
    expect(
      (await verify(sourceOf(headless, log.notes[5] ?? ''), { verifierKey: await ownKey() })).bad,
    ).toEqual(
      bad(0, log.segments[0]?.stem ?? '', 0, 'wrong-prev', 'record 0 does not follow the record before it'),
    );
  });
});

describe('a log that is being written', () => {
  const cut = async (live: boolean | undefined, which: number, tail: string): Promise<AuditReport> => {
    const log = await fiveRecords();
    const files = log.segments.map(({ stem, lines }, index) => ({
      stem,
      bytes: utf8(`${lines.map((line) => `${line}\n`).join('')}${index === which ? tail : ''}`),
    }));
    const options = { token: TOKEN, ...(live === undefined ? {} : { live }) };
    return verify(memoryLogSource(nodeCrypto, files, log.notes[5] ?? ''), options);
  };

  it('may end within a line, its newest segment alone and only while it is written', async () => {
    expect(await cut(true, 2, '{"v"')).toMatchObject({
      ok: true,
      records: 5,
      bad: null,
      notes: [NO_EXTERNAL, 'The last line was still being written.'],
    });
    const log = await fiveRecords();
    const [first = '', , third = ''] = log.segments.map(({ stem }) => stem);
    const at = (segment: number): number => fileOf(log.segments[segment]?.lines ?? []).length;
    for (const live of [false, undefined]) {
      expect((await cut(live, 2, '{"v"')).bad).toEqual(
        bad(5, third, at(2), 'torn', 'record 5 is unfinished'),
      );
    }
    expect((await cut(true, 0, '{"v"')).bad).toEqual(bad(2, first, at(0), 'torn', 'record 2 is unfinished'));
    expect(await cut(true, 2, '{"v"\n')).toMatchObject({
      ok: false,
      notes: [NO_EXTERNAL],
      bad: bad(5, third, at(2), 'not-json', 'record 5 is not JSON'),
    });
  });
});

describe('checkpoints that do not hold', () => {
  it('are of another log, or of another key', async () => {
    const log = await fiveRecords();
    const source = sourceOf(log.segments, log.notes[5] ?? '');
    const elsewhere = await write([{ ts: noon(1) }], 'dd'.repeat(16));
    const report = await verify(source, { token: TOKEN, checkpoint: elsewhere.notes[1] ?? '' });
    expect(report).toMatchObject({
      ok: false,
      records: 5,
      signature: 'verified',
      checkpoint: null,
      external: null,
      recordsPastCheckpoint: 0,
    });
    expect(report.bad).toEqual(
      unplaced('checkpoint-origin', 'the checkpoint kept elsewhere or the verifier key names another log'),
    );
    const foreign = await ownKey(9, `${ORIGIN.slice(0, -1)}0`);
    expect((await verify(source, { verifierKey: foreign })).bad).toEqual(
      unplaced('checkpoint-origin', 'the checkpoint of the log or the verifier key names another log'),
    );
    // The key that is given counts, not the one that the log names.
    expect(await verify(source, { token: TOKEN, verifierKey: await ownKey(8) })).toMatchObject({
      signature: 'not-verified',
      bad: unplaced('checkpoint-signature', "the checkpoint of the log is not signed by the log's key"),
    });
    // What is wrong with the log's own is told first.
    const both = { token: TOKEN, verifierKey: await ownKey(8), checkpoint: elsewhere.notes[1] ?? '' };
    expect((await verify(source, both)).bad?.reason).toBe('checkpoint-signature');
    const forged = (log.notes[3] ?? '').replace(/\n3\n/, '\n4\n');
    expect((await verify(source, { token: TOKEN, checkpoint: forged })).bad).toEqual(
      unplaced('checkpoint-signature', "the checkpoint kept elsewhere is not signed by the log's key"),
    );
  });

  it('cover more than is there', async () => {
    const log = await fiveRecords();
    const [first, second] = log.segments;
    const kept = first === undefined || second === undefined ? [] : [first, second];
    expect((await verify(sourceOf(kept, log.notes[5] ?? ''))).bad).toEqual(
      bad(
        4,
        null,
        null,
        'truncated',
        'the checkpoint of the log covers 5 records, 4 are there: the log was cut or rolled back',
      ),
    );
    const rolledBack = sourceOf(kept, log.notes[4] ?? '');
    expect((await verify(rolledBack, { token: TOKEN, checkpoint: log.notes[5] ?? '' })).bad).toEqual(
      bad(
        4,
        null,
        null,
        'truncated',
        'the checkpoint kept elsewhere covers 5 records, 4 are there: the log was cut or rolled back',
      ),
    );
  });

  it('sign another history', async () => {
    const log = await fiveRecords();
    const other = await fiveRecords();
    const source = sourceOf(log.segments, other.notes[3] ?? '');
    const records = 'the first 3 records are not those of the checkpoint of the log';
    expect((await verify(source)).bad).toEqual(
      unplaced(
        'root-mismatch',
        `${records}: though every MAC holds: this is not the history that was signed`,
      ),
    );
    expect((await verify(source, { verifierKey: await ownKey() })).bad).toEqual(
      unplaced('root-mismatch', `${records}: one of them was changed; verification with the token names it`),
    );
  });
});

describe('segments verified at once', () => {
  it('are as many as asked for, started in order, each with its epoch, key and sizes', async () => {
    const log = await fiveRecords();
    for (const [concurrency, most] of [
      [undefined, 1],
      [1, 1],
      [2, 2],
      [9, 3],
    ] as const) {
      const jobs: SegmentJob[] = [];
      let running = 0;
      let peak = 0;
      const given = sourceOf(log.segments, log.notes[5] ?? '');
      const run = async (job: SegmentJob): Promise<SegmentResult> => {
        jobs.push({ ...job, macKey: job.macKey?.slice() ?? null });
        peak = Math.max(peak, ++running);
        for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
        return given.run(job);
      };
      const options = { token: TOKEN, checkpoint: log.notes[3] ?? '' };
      const report = await verify(
        { ...given, run },
        concurrency === undefined ? options : { ...options, concurrency },
      );
      expect(report.ok).toBe(true);
      expect(peak).toBe(most);
      const ratchet = await KeyRatchet.fromToken(nodeCrypto, TOKEN, WORKER, LOG_ID);
      const expected: SegmentJob[] = [];
      for (const [epoch, { stem }] of log.segments.entries()) {
        await ratchet.advanceTo(epoch);
        expected.push({ stem, workerId: WORKER, epoch, macKey: await ratchet.macKey(), snapshots: [5, 3] });
      }
      expect(jobs).toEqual(expected);
    }
  });

  it('leave no key behind, with a good log and with a bad one', async () => {
    const log = await fiveRecords();
    const keys: Uint8Array[] = [];
    const crypto: CryptoProvider = {
      ...nodeCrypto,
      hkdf: async (...args) => {
        const key = await nodeCrypto.hkdf(...args);
        keys.push(key);
        return key;
      },
    };
    for (const segments of [log.segments, edited(log, 1, () => ['x'])]) {
      keys.length = 0;
      const source = sourceOf(segments, log.notes[5] ?? '');
      await verifyLog(crypto, source, { token: TOKEN, concurrency: 3 });
      expect(keys.length).toBeGreaterThan(3);
      expect(keys.every((key) => key.every((byte) => byte === 0))).toBe(true);
    }
  });

  it('are all waited for when one fails, and none of their failures goes unhandled', async () => {
    const log = await fiveRecords();
    const unhandled: unknown[] = [];
    const listen = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', listen);
    try {
      const ended: string[] = [];
      const run = async ({ stem, epoch }: SegmentJob): Promise<SegmentResult> => {
        // The first is the second to end, the last is the slowest.
        for (let i = 0; i < ([6, 0, 12][epoch] ?? 0); i++)
          await new Promise((resolve) => setImmediate(resolve));
        ended.push(stem.slice(15, 16));
        throw new Error(`no segment ${epoch}`);
      };
      const source = sourceOf(log.segments, log.notes[5] ?? '', { run });
      await expect(verify(source, { token: TOKEN, concurrency: 3 })).rejects.toThrow('no segment 0');
      expect(ended).toEqual(['2', '0', '4']);
      await new Promise((resolve) => setImmediate(resolve));
      expect(unhandled).toEqual([]);
    } finally {
      process.off('unhandledRejection', listen);
    }
  });
});

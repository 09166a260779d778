import { describe, expect, it } from 'vitest';
import { AUDIT_CATALOGUE, type AuditData, type AuditType } from '../../src/audit/format/catalogue.js';
import { signCheckpoint } from '../../src/audit/format/checkpoint.js';
import { KeyRatchet, MAX_EPOCH } from '../../src/audit/format/keys.js';
import { leafHash } from '../../src/audit/format/merkle.js';
import { MAX_LINE_BYTES } from '../../src/audit/format/record.js';
import { segmentStem } from '../../src/audit/format/segment.js';
import { type AuditReport, formatVerifierKey, verifierKey } from '../../src/audit/index.js';
import {
  type AuditFault,
  type BadRecord,
  faultMessage,
  LineChecker,
  runSegmentJob,
  type SegmentJob,
  type SegmentResult,
  verifySegment,
} from '../../src/audit/verify/segment-verifier.js';
import { type LogSource, type VerifyLogOptions, verifyLog } from '../../src/audit/verify/verifier.js';
import { Chain, emptyChain } from '../../src/audit/write/chain.js';
import type { CryptoProvider } from '../../src/crypto/provider.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { memoryLogSource } from '../support/memory-log-source.js';
import { refusal } from '../support/refusal.js';
import { TOKEN, WORKER } from './audit-events.js';
import { naiveRoot } from './audit-oracle.js';
import { testSigner } from './audit-signer.js';

const LOG_ID = 'fe'.repeat(16);
const ORIGIN = `vram-residency/${WORKER}/${LOG_ID}`;
const ZEROS = '0'.repeat(64);
const signer = testSigner(9);

const NO_TOKEN =
  'Without the token the MACs were not verified: whoever holds the signing key can rewrite history.';
const NO_EXTERNAL =
  'A tail removed together with its checkpoints cannot be seen: compare with a checkpoint kept elsewhere.';

interface Given {
  readonly ts: string;
  readonly type?: AuditType;
  readonly data?: AuditData;
}

interface SegmentFile {
  readonly stem: string;
  readonly lines: readonly string[];
}

interface Log {
  readonly segments: readonly SegmentFile[];
  readonly lines: readonly string[];
  /** The checkpoint of the first N records at index N. */
  readonly notes: readonly string[];
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const fileOf = (lines: readonly string[]): Uint8Array => utf8(lines.map((line) => `${line}\n`).join(''));
const noon = (day: number): string => `2026-03-${String(day).padStart(2, '0')}T12:00:00.000Z`;
const ownKey = async (seed = 9, origin = ORIGIN): Promise<string> =>
  formatVerifierKey(await verifierKey(nodeCrypto, origin, testSigner(seed).publicKey));

function memberOf(line: string | undefined, member: string): string {
  const value = (JSON.parse(line ?? '{}') as Record<string, unknown>)[member];
  return typeof value === 'string' ? value : '';
}

/** A log of the records given, each day a segment of its own, with a checkpoint at every size. */
async function write(given: readonly Given[], logId = LOG_ID): Promise<Log> {
  const ratchet = await KeyRatchet.fromToken(nodeCrypto, TOKEN, WORKER, logId);
  const chain = new Chain(nodeCrypto, emptyChain(nodeCrypto, WORKER, logId, ratchet));
  const segments: { stem: string; lines: string[] }[] = [];
  const notes: string[] = [];
  const sign = async (): Promise<void> => {
    const head = { origin: chain.origin, size: chain.size, root: await chain.root() };
    notes.push((await signCheckpoint(nodeCrypto, head, signer)).note);
  };
  await sign();
  for (const { ts, type = 'audit.closed', data = {} } of given) {
    const { severity } = AUDIT_CATALOGUE[type];
    const draft = { type, severity, ts, correlationId: null, traceparent: null, data };
    const { segment, bytes } = await chain.append(draft);
    const stem = segmentStem(segment);
    if (segments.at(-1)?.stem !== stem) segments.push({ stem, lines: [] });
    segments.at(-1)?.lines.push(new TextDecoder().decode(bytes.subarray(0, -1)));
    await sign();
  }
  return { segments, lines: segments.flatMap(({ lines }) => lines), notes };
}

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

function sourceOf(
  segments: readonly SegmentFile[],
  checkpoint: string | null,
  changed: Partial<LogSource> = {},
): LogSource {
  const files = segments.map(({ stem, lines }) => ({ stem, bytes: fileOf(lines) }));
  return { ...memoryLogSource(nodeCrypto, files, checkpoint), ...changed };
}

const verify = (source: LogSource, options: VerifyLogOptions = { token: TOKEN }): Promise<AuditReport> =>
  verifyLog(nodeCrypto, source, options);

/** The root of the first records, as a checkpoint says it. */
const headAt = ({ lines }: Log, size: number): { size: number; root: string } => ({
  size,
  root: naiveRoot(lines.slice(0, size).map(utf8)).toString('base64'),
});

const bad = (
  seq: number | null,
  segment: string | null,
  offset: number | null,
  reason: AuditFault,
  message: string,
): BadRecord => ({ seq, segment, offset, reason, message });

/** A fault of which only a range of records is known. */
const unplaced = (reason: AuditFault, message: string): BadRecord => bad(null, null, null, reason, message);

function edited(
  log: Log,
  segment: number,
  edit: (lines: readonly string[]) => readonly string[],
): SegmentFile[] {
  return log.segments.map((each, index) => (index === segment ? { ...each, lines: edit(each.lines) } : each));
}

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
      'INVALID_INPUT: "verifierKey" or a token must be given: nothing can be proved without a key',
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
    // What is no text at all is a fault of the source, not of the log.
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
      bad(
        2,
        early.stem,
        null,
        'wrong-segment-name',
        'record 2 is not the one that the name of its file tells of',
      ),
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
      notes: [NO_EXTERNAL, 'The writer was in the middle of a line.'],
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
      unplaced('root-mismatch', `${records}: one of them was changed; the token would name it`),
    );
  });
});

describe('a pruned log', () => {
  /** Its first segment is gone; what the pruning record says of it may be changed. */
  async function pruned(said: AuditData = {}, type: AuditType = 'audit.pruned', days = 2) {
    const opened = { ts: noon(1), type: 'audit.opened', data: { verifierKey: await ownKey() } } as const;
    const before = [opened, { ts: noon(1) }, { ...opened, ts: noon(2) }];
    // The prev of record 2 is known only once records 0 and 1 are written; the same log goes on behind it.
    const ratchet = await KeyRatchet.fromToken(nodeCrypto, TOKEN, WORKER, LOG_ID);
    const chain = new Chain(nodeCrypto, emptyChain(nodeCrypto, WORKER, LOG_ID, ratchet));
    const lines: string[] = [];
    const notes: string[] = [];
    const append = async ({ ts, type: each = 'audit.closed', data = {} }: Given): Promise<void> => {
      const { severity } = AUDIT_CATALOGUE[each];
      const draft = { type: each, severity, ts, correlationId: null, traceparent: null, data };
      lines.push(new TextDecoder().decode((await chain.append(draft)).bytes.subarray(0, -1)));
      const head = { origin: ORIGIN, size: chain.size, root: await chain.root() };
      notes[chain.size] = (await signCheckpoint(nodeCrypto, head, signer)).note;
    };
    for (const each of before) await append(each);
    const prev = memberOf(lines[2], 'prev');
    await append({ ts: noon(2), type, data: { firstKeptSeq: 2, firstKeptEpoch: 1, prev, ...said } });
    if (days === 3) await append({ ts: noon(3) });
    const leaves: Uint8Array[] = [];
    for (const line of lines) leaves.push(await leafHash(nodeCrypto, utf8(line)));
    const gone = '0000000000000000-2026-03-01';
    const kept = { stem: '0000000000000002-2026-03-02', lines: lines.slice(2, 4) };
    const retained = Buffer.concat(leaves.slice(0, 2));
    const source = (changed: Partial<LogSource> = {}): LogSource =>
      sourceOf([kept], notes[4] ?? '', {
        prunedStems: [gone],
        retainedHashes: () => [retained],
        ...changed,
      });
    return { source, gone, kept, lines, notes, retained };
  }

  it('is verified from the hashes that stay, however they come', async () => {
    const { source, lines, notes, retained } = await pruned();
    const report: AuditReport = {
      v: 1,
      ok: true,
      origin: ORIGIN,
      records: 4,
      prunedRecords: 2,
      segments: 1,
      chain: 'verified',
      signature: 'verified',
      checkpoint: { size: 4, root: naiveRoot(lines.map(utf8)).toString('base64') },
      external: null,
      recordsPastCheckpoint: 0,
      bad: null,
      notes: [NO_EXTERNAL],
    };
    for (const cuts of [[64], [32, 64], [1, 33, 63, 64], [40, 64]]) {
      const chunks = cuts.map((end, index) => retained.subarray(cuts[index - 1] ?? 0, end));
      expect(await verify(source({ retainedHashes: () => chunks })), String(cuts)).toEqual(report);
    }
    // A checkpoint of what was pruned, or at its end, still says what it said; and so does one of nothing.
    const root = async (size: number): Promise<unknown> =>
      (await verify(source(), { token: TOKEN, checkpoint: notes[size] ?? '' })).external;
    for (const size of [1, 2, 3, 4]) expect(await root(size)).toMatchObject({ size });
    const empty = { origin: ORIGIN, size: 0, root: await nodeCrypto.sha256(new Uint8Array(0)) };
    const { note } = await signCheckpoint(nodeCrypto, empty, signer);
    expect(await verify(source(), { token: TOKEN, checkpoint: note })).toMatchObject({
      ok: true,
      external: { size: 0 },
    });
  });

  it('may keep several segments, of which the first has what the pruning record names', async () => {
    const { source, kept, lines, notes } = await pruned({}, 'audit.pruned', 3);
    const last = { stem: '0000000000000004-2026-03-03', lines: lines.slice(4) };
    const { stems, run } = sourceOf([kept, last], null);
    expect(await verify(source({ stems, run, checkpoint: notes[5] ?? '' }))).toMatchObject({
      ok: true,
      records: 5,
      prunedRecords: 2,
      segments: 2,
    });
  });

  it('has whole hashes for each pruned segment, in order', async () => {
    const { source, gone, retained } = await pruned();
    const run = (): never => {
      throw new Error('a segment was read');
    };
    const short = await verify(source({ run, retainedHashes: () => [retained.subarray(0, 63)] }));
    expect(short).toMatchObject({ ok: false, records: 1, prunedRecords: 0 });
    expect(short.bad).toEqual(bad(1, gone, null, 'retained-hashes', 'record 1 has no usable retained hash'));
    for (const stem of ['0000000000000001-2026-03-01', 'none']) {
      const report = await verify(source({ run, prunedStems: [stem] }));
      expect(report).toMatchObject({ ok: false, records: 0, prunedRecords: 0 });
      expect(report.bad).toEqual(
        bad(0, stem, null, 'missing-segment', 'record 0 is missing with its segment'),
      );
    }
    const twice = await verify(source({ run, prunedStems: [gone, gone] }));
    expect(twice.bad).toEqual(bad(2, gone, null, 'missing-segment', 'record 2 is missing with its segment'));
    const halves = ['0000000000000000-2026-03-01', '0000000000000001-2026-03-01'];
    const split = source({
      prunedStems: halves,
      retainedHashes: (stem) => [stem === gone ? retained.subarray(0, 32) : retained.subarray(32)],
    });
    // As many hashes, but from two segments: the third one would be of epoch 2.
    expect((await verify(split)).bad).toMatchObject({ seq: 2, reason: 'wrong-epoch' });
  });

  it('has a record that says up to where', async () => {
    const more = await pruned({ firstKeptSeq: 3, prev: 'another' });
    expect(await verify(more.source())).toMatchObject({ ok: true, prunedRecords: 2 });
    const { kept } = more;
    for (const [said, type] of [
      [{ prev: ZEROS }, 'audit.pruned'],
      [{ firstKeptSeq: 1 }, 'audit.pruned'],
      [{ firstKeptSeq: '2' }, 'audit.pruned'],
      [{ firstKeptEpoch: null }, 'audit.pruned'],
      [{ firstKeptEpoch: 0 }, 'audit.pruned'],
      [{ firstKeptEpoch: 2 }, 'audit.pruned'],
      [{ firstKeptSeq: 3, prev: null }, 'audit.pruned'],
      [{}, 'audit.closed'],
    ] as const) {
      const { source } = await pruned(said, type);
      const report = await verify(source());
      expect(report, JSON.stringify(said)).toMatchObject({
        ok: false,
        records: 4,
        signature: 'verified',
      });
      expect(report.bad).toEqual(
        bad(
          0,
          kept.stem,
          null,
          'unexplained-pruning',
          'record 0 was removed without an audit.pruned record that says so',
        ),
      );
    }
    // A bad record is told before that.
    const { source: unexplained, lines } = await pruned({ prev: ZEROS });
    const broken = memoryLogSource(
      nodeCrypto,
      [{ stem: kept.stem, bytes: fileOf([lines[2] ?? '', 'x']) }],
      null,
    );
    expect((await verify(unexplained({ run: broken.run }))).bad).toMatchObject({
      seq: 3,
      reason: 'not-json',
    });
    const hashesAlone = more.source({ stems: [], checkpoint: more.notes[2] ?? '' });
    expect((await verify(hashesAlone, { verifierKey: await ownKey() })).bad).toMatchObject({
      reason: 'unexplained-pruning',
      segment: null,
    });
  });

  it('goes on in the epoch that the number of pruned segments gives, whatever its records say', async () => {
    const { source } = await pruned();
    const epochs: number[] = [];
    const given = source();
    const run: LogSource['run'] = (job) => {
      epochs.push(job.epoch);
      return given.run(job);
    };
    expect(await verify(source({ run }), { verifierKey: await ownKey() })).toMatchObject({ ok: true });
    expect(epochs).toEqual([1]);
    const many = { prunedStems: [], stems: new Array<string>(MAX_EPOCH + 1).fill('x') };
    expect((await verify(source({ ...many, run }))).bad).toMatchObject({ reason: 'wrong-epoch' });
    expect(epochs).toEqual([1]);
  });

  it('is explained by a proved record alone: by its MAC, or under a checkpoint', async () => {
    const { source, notes } = await pruned();
    const key = { verifierKey: await ownKey() };
    const behind = source({ checkpoint: notes[3] ?? '' });
    expect((await verify(behind, key)).bad).toMatchObject({ reason: 'unexplained-pruning' });
    expect((await verify(behind, { ...key, checkpoint: notes[2] ?? '' })).ok).toBe(false);
    expect((await verify(behind, { ...key, checkpoint: notes[4] ?? '' })).ok).toBe(true);
    expect((await verify(behind, { ...key, token: TOKEN })).ok).toBe(true);
  });

  it('is the log that was expected', async () => {
    const { source } = await pruned();
    expect((await verify(source(), { token: TOKEN, logId: LOG_ID })).ok).toBe(true);
    const other = 'ab'.repeat(16);
    expect((await verify(source(), { token: TOKEN, logId: other })).bad).toMatchObject({
      reason: 'checkpoint-origin',
      message: `the log has the id ${LOG_ID}, and ${other} was expected`,
    });
    for (const logId of ['', 'AB'.repeat(16), `${LOG_ID}0`]) {
      await expect(verify(source(), { token: TOKEN, logId })).rejects.toMatchObject({ argument: 'logId' });
    }
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

describe('one segment', () => {
  const STEM = '0000000000000000-2026-03-01';

  /** Three records of one day, the second of which a clock set back dates on the day before. */
  async function segment() {
    const said = { firstKeptSeq: 2, firstKeptEpoch: 1, prev: 'ab' };
    const { lines } = await write([
      { ts: noon(1), type: 'audit.opened', data: { verifierKey: 'a key' } },
      { ts: '2026-02-28T12:00:00.000Z', type: 'audit.pruned', data: said },
      { ts: noon(1), type: 'audit.opened', data: { verifierKey: 'a key' } },
      { ts: noon(1), type: 'audit.opened', data: { verifierKey: null } },
    ]);
    return { lines, said };
  }

  const task = { stem: STEM, workerId: WORKER, epoch: 0, mac: null, snapshots: [] };

  /** The result with the ends of its ranges. */
  const plain = ({ range, snapshots, ...rest }: SegmentResult) => ({
    ...rest,
    range: [range.begin, range.end],
    snapshots: [...snapshots].map(([size, { begin, end, hashes }]) => [size, begin, end, hashes.length]),
  });

  it('gives its leaves, its ends, its notices and its keys', async () => {
    const { lines, said } = await segment();
    const bytes = fileOf(lines);
    const expected = {
      stem: STEM,
      records: 4,
      range: [0, 4],
      snapshots: [
        [0, 0, 0, 0],
        [3, 0, 3, 2],
        [4, 0, 4, 1],
      ],
      firstPrev: ZEROS,
      lastMac: memberOf(lines[3], 'mac'),
      prunes: [{ seq: 1, ...said }],
      verifierKeys: ['a key'],
      goodBytes: bytes.length,
      bad: null,
    };
    const given = { ...task, snapshots: [0, 3, 4, 5] };
    expect(plain(await verifySegment(nodeCrypto, [bytes], given))).toEqual(expected);
    const pieces = Array.from({ length: 20 }, (_, index) => bytes.subarray(index * 100, index * 100 + 100));
    const rest = bytes.subarray(2_000);
    expect(plain(await verifySegment(nodeCrypto, [...pieces, rest], given))).toEqual(expected);
    const { range } = await verifySegment(nodeCrypto, [bytes], task);
    expect(Buffer.from(await range.root())).toEqual(naiveRoot(lines.map(utf8)));
    expect(plain(await verifySegment(nodeCrypto, [], task))).toEqual({
      ...expected,
      records: 0,
      range: [0, 0],
      snapshots: [],
      firstPrev: null,
      lastMac: null,
      prunes: [],
      verifierKeys: [],
      goodBytes: 0,
    });
    await expect(verifySegment(nodeCrypto, [], { ...task, stem: 'none' })).rejects.toThrow(
      'a segment task needs a segment name',
    );
  });

  it('ends at its first bad record, wherever that is', async () => {
    const { lines } = await segment();
    const [first = '', second = ''] = lines;
    const good = fileOf([first]).length;
    const at = async (...chunks: string[]) => {
      const {
        records,
        goodBytes,
        lastMac,
        bad: found,
      } = await verifySegment(nodeCrypto, chunks.map(utf8), task);
      return { records, goodBytes, lastMac, bad: found };
    };
    const behind = (reason: AuditFault, message: string) => ({
      records: 1,
      goodBytes: good,
      lastMac: memberOf(first, 'mac'),
      bad: bad(1, STEM, good, reason, `record 1 ${message}`),
    });
    expect(await at(`${first}\n${first}\n${second}\n`)).toEqual(
      behind(
        'wrong-sequence',
        'has another sequence number than its place: records were removed, repeated or moved',
      ),
    );
    const torn = behind('torn', 'is unfinished');
    expect(await at(`${first}\n${second}`)).toEqual(torn);
    expect(await at(`${first}\n${second.slice(0, -1)}`)).toEqual(torn);
    expect(await at(`${first}\n`, 'x'.repeat(MAX_LINE_BYTES))).toEqual(torn);
    expect(await at(`${first}\n`, 'x'.repeat(MAX_LINE_BYTES + 1))).toEqual(
      behind('line-too-long', 'is longer than any record can be'),
    );
    expect(
      await at(`${first}\n${second.replace(/"prev":"[0-9a-f]{64}"/, `"prev":"${'Z'.repeat(64)}"`)}\n`),
    ).toEqual(behind('not-canonical', 'is not canonical JSON: it was edited'));
    expect(await at(`${first}\n${second.replace(/"prev":"[0-9a-f]{64}"/, `"prev":"${ZEROS}"`)}\n`)).toEqual(
      behind('wrong-prev', 'does not follow the record before it'),
    );
    const dated = await verifySegment(nodeCrypto, [utf8(first)], {
      ...task,
      stem: STEM.replace('03-01', '03-02'),
    });
    expect(dated.bad).toEqual(
      bad(
        0,
        STEM.replace('03-01', '03-02'),
        0,
        'wrong-segment-name',
        'record 0 is not the one that the name of its file tells of',
      ),
    );
  });

  it('is verified with a key that is zeroed, or for its links alone', async () => {
    const { lines } = await segment();
    const ratchet = await KeyRatchet.fromToken(nodeCrypto, TOKEN, WORKER, LOG_ID);
    const changed = fileOf(lines.with(3, (lines[3] ?? '').replace('null}', '"x"}')));
    const job = { stem: STEM, workerId: WORKER, epoch: 0, snapshots: [] };
    const macKey = await ratchet.macKey();
    expect((await runSegmentJob(nodeCrypto, [fileOf(lines)], { ...job, macKey })).bad).toBeNull();
    expect(macKey).toEqual(new Uint8Array(32));
    const again = await ratchet.macKey();
    expect((await runSegmentJob(nodeCrypto, [changed], { ...job, macKey: again })).bad).toMatchObject({
      seq: 3,
      reason: 'bad-mac',
      message: 'record 3 has a MAC that does not hold: it was changed, or the token is another one',
    });
    expect(await runSegmentJob(nodeCrypto, [changed], { ...job, macKey: null })).toMatchObject({
      records: 4,
      bad: null,
    });
  });

  it('has lines of which the first thing wrong is told', async () => {
    const [line = ''] = (await segment()).lines;
    const ratchet = await KeyRatchet.fromToken(nodeCrypto, TOKEN, WORKER, LOG_ID);
    const [right, other] = [await ratchet.mac(), await nodeCrypto.hmac(new Uint8Array(32).fill(1))];
    const checker = new LineChecker();
    const wrong = { workerId: 'other', seq: 1, epoch: 1, prev: 'ab'.repeat(32), mac: other };
    const check = (expected: object) => checker.check(utf8(line), { ...wrong, ...expected });
    expect(await checker.check(utf8('x'), wrong)).toEqual({ fault: 'not-json' });
    expect(await check({})).toEqual({ fault: 'wrong-sequence' });
    expect(await check({ seq: 0 })).toEqual({ fault: 'wrong-epoch' });
    expect(await check({ seq: 0, epoch: 0 })).toEqual({ fault: 'wrong-worker' });
    const placed = { seq: 0, epoch: 0, workerId: WORKER };
    expect(await check(placed)).toEqual({ fault: 'wrong-prev' });
    expect(await check({ ...placed, prev: ZEROS })).toEqual({ fault: 'bad-mac' });
    const record = { seq: 0, epoch: 0, prev: ZEROS, mac: memberOf(line, 'mac') };
    expect(await check({ ...placed, prev: ZEROS, mac: right })).toMatchObject(record);
    expect(await check({ ...placed, prev: null, mac: null })).toMatchObject(record);
  });

  it('has a message for every fault', () => {
    const messages: Readonly<Record<AuditFault, string>> = {
      'line-too-long': 'is longer than any record can be',
      'not-json': 'is not JSON',
      'not-canonical': 'is not canonical JSON: it was edited',
      'bad-field': 'does not have the fields of a record',
      'wrong-worker': 'names another worker',
      'wrong-sequence': 'has another sequence number than its place: records were removed, repeated or moved',
      'wrong-epoch': 'has another epoch than its segment',
      'wrong-prev': 'does not follow the record before it',
      'bad-mac': 'has a MAC that does not hold: it was changed, or the token is another one',
      torn: 'is unfinished',
      'wrong-segment-name': 'is not the one that the name of its file tells of',
      'missing-segment': 'is missing with its segment',
      'retained-hashes': 'has no usable retained hash',
      'unexplained-pruning': 'was removed without an audit.pruned record that says so',
      'checkpoint-missing': 'is under no checkpoint: the checkpoint file is missing',
      'checkpoint-unreadable': 'is under a checkpoint that cannot be read',
      'checkpoint-origin': 'is under a checkpoint of another log',
      'checkpoint-signature': 'is under a checkpoint whose signature does not hold',
      'root-mismatch': 'is under a checkpoint that says otherwise',
      truncated: 'is missing, though a checkpoint covers it',
    };
    for (const [fault, what] of Object.entries(messages) as [AuditFault, string][]) {
      expect(faultMessage(fault, 12)).toBe(`record 12 ${what}`);
    }
  });
});

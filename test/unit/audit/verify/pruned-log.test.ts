import { describe, expect, it } from 'vitest';
import { AUDIT_CATALOGUE, type AuditData, type AuditType } from '../../../../src/audit/format/catalogue.js';
import { signCheckpoint } from '../../../../src/audit/format/checkpoint.js';
import { KeyRatchet, MAX_EPOCH } from '../../../../src/audit/format/keys.js';
import { leafHash } from '../../../../src/audit/format/merkle.js';
import type { AuditReport } from '../../../../src/audit/index.js';
import type { LogSource } from '../../../../src/audit/verify/verifier.js';
import { Chain, emptyChain } from '../../../../src/audit/write/chain.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { memoryLogSource } from '../../../support/memory-log-source.js';
import { TOKEN, WORKER } from '../events.js';
import { naiveRoot } from '../oracle.js';
import {
  bad,
  fileOf,
  type Given,
  LOG_ID,
  memberOf,
  NO_EXTERNAL,
  noon,
  ORIGIN,
  ownKey,
  signer,
  sourceOf,
  utf8,
  verify,
  ZEROS,
} from './log-fixture.js';

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
        bad(0, kept.stem, null, 'unexplained-pruning', 'record 0 was removed without an audit.pruned record'),
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

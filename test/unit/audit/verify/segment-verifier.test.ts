import { describe, expect, it } from 'vitest';
import { KeyRatchet } from '../../../../src/audit/format/keys.js';
import { MAX_LINE_BYTES } from '../../../../src/audit/format/record.js';
import {
  type AuditFault,
  faultMessage,
  LineChecker,
  runSegmentJob,
  type SegmentResult,
  verifySegment,
} from '../../../../src/audit/verify/segment-verifier.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { TOKEN, WORKER } from '../events.js';
import { naiveRoot } from '../oracle.js';
import { bad, fileOf, LOG_ID, memberOf, noon, utf8, write, ZEROS } from './log-fixture.js';

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
        'has a sequence number that does not match its place: records were removed, repeated or moved',
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
        'record 0 is not the one in the name of its file',
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
      'wrong-sequence':
        'has a sequence number that does not match its place: records were removed, repeated or moved',
      'wrong-epoch': "has an epoch that is not its segment's",
      'wrong-prev': 'does not follow the record before it',
      'bad-mac': 'has a MAC that does not hold: it was changed, or the token is another one',
      torn: 'is unfinished',
      'wrong-segment-name': 'is not the one in the name of its file',
      'missing-segment': 'is missing with its segment',
      'retained-hashes': 'has no usable retained hash',
      'unexplained-pruning': 'was removed without an audit.pruned record',
      'checkpoint-missing': 'is under no checkpoint: the checkpoint file is missing',
      'checkpoint-unreadable': 'is under a checkpoint that cannot be read',
      'checkpoint-origin': 'is under a checkpoint of another log',
      'checkpoint-signature': 'is under a checkpoint whose signature does not hold',
      'root-mismatch': 'is under a checkpoint that contradicts it',
      truncated: 'is missing, though a checkpoint covers it',
    };
    for (const [fault, what] of Object.entries(messages) as [AuditFault, string][]) {
      expect(faultMessage(fault, 12)).toBe(`record 12 ${what}`);
    }
  });
});

import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { KeyRatchet } from '../../../../src/audit/format/keys.js';
import { type AuditReport, formatVerifierKey, verifierKey, verifyLog } from '../../../../src/audit/index.js';
import type { AuditFault } from '../../../../src/audit/verify/segment-verifier.js';
import { Chain, emptyChain } from '../../../../src/audit/write/chain.js';
import { AuditLog } from '../../../../src/audit/write/log.js';
import { MemorySink } from '../../../../src/audit/write/memory-sink.js';
import { auditObserver, openedData } from '../../../../src/audit/write/observer.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { memoryLogSource } from '../../../support/memory-log-source.js';
import { stride } from '../../../support/stride.js';
import { anyEvent, type PAYLOADS, TOKEN, WORKER } from '../../node/audit/support.js';
import { testSigner } from '../signer.js';

interface Files {
  readonly segments: readonly { readonly stem: string; readonly lines: readonly string[] }[];
  readonly checkpoint: string;
}

const LOG_ID = 'c0ffee00'.repeat(4);
const signer = testSigner(3);
const types = [
  'vram.allocated',
  'seal.verified',
  'manager.stopped',
] as const satisfies readonly (keyof typeof PAYLOADS)[];
const checkpoints = new Map<number, string>();
const matrix = new Map<string, { tried: number; token: number; key: number }>();
let log: Files;
let verifier = '';

async function write(token = TOKEN): Promise<Files> {
  const sink = new MemorySink();
  const ratchet = await KeyRatchet.fromToken(nodeCrypto, token, WORKER, LOG_ID);
  const chain = new Chain(nodeCrypto, emptyChain(nodeCrypto, WORKER, LOG_ID, ratchet), 1_700);
  const audit = new AuditLog(
    { crypto: nodeCrypto, chain, sinks: [sink], signer },
    { onCheckpoint: ({ size, note }) => void checkpoints.set(size, note) },
  );
  await audit.record('audit.opened', await openedData(nodeCrypto, WORKER, LOG_ID, signer, false));
  for (let i = 0; i < 6; i++) {
    void audit.on(anyEvent(types[i % types.length] ?? 'vram.allocated'));
    await audit.head();
  }
  await audit.close();
  return {
    segments: sink.segments().map(({ stem, bytes }) => ({
      stem,
      lines: new TextDecoder().decode(bytes).split('\n').slice(0, -1),
    })),
    checkpoint: sink.latestCheckpoint?.note ?? '',
  };
}

function verify(
  segments: readonly { readonly stem: string; readonly bytes: Uint8Array }[],
  checkpoint: string,
  how: 'token' | 'key',
  kept?: string,
): Promise<AuditReport> {
  return verifyLog(nodeCrypto, memoryLogSource(nodeCrypto, segments, checkpoint), {
    ...(how === 'token' ? { token: TOKEN } : { verifierKey: verifier }),
    ...(kept === undefined ? {} : { checkpoint: kept }),
  });
}

const toBytes = ({ segments }: Files) =>
  segments.map(({ stem, lines }) => ({
    stem,
    bytes: new TextEncoder().encode(lines.map((line) => `${line}\n`).join('')),
  }));

/** Applies one tampering and checks that both kinds of verification find it. */
async function expectFound(kind: string, files: Files, firstBad: number | null): Promise<void> {
  await expectBytesFound(kind, toBytes(files), files.checkpoint, firstBad);
}

async function expectBytesFound(
  kind: string,
  segments: readonly { readonly stem: string; readonly bytes: Uint8Array }[],
  checkpoint: string,
  firstBad: number | null,
): Promise<void> {
  const counts = matrix.get(kind) ?? { tried: 0, token: 0, key: 0 };
  matrix.set(kind, counts);
  counts.tried += 1;
  const withToken = await verify(segments, checkpoint, 'token');
  expect(withToken.ok, `${kind} with the token`).toBe(false);
  if (firstBad !== null) {
    expect(withToken.bad?.seq, `${kind}: ${withToken.bad?.message}`).toBe(firstBad);
    // Records that are gone from the end leave a chain of those before them.
    expect(withToken.chain, kind).toBe(withToken.bad?.reason === 'truncated' ? 'verified' : 'not-verified');
  }
  counts.token += 1;
  const withKey = await verify(segments, checkpoint, 'key');
  expect(withKey.ok, `${kind} with the public key`).toBe(false);
  counts.key += 1;
}

/** Every line with its place. */
const places = () =>
  log.segments.flatMap(({ lines }, segment) =>
    lines.map((_, line) => ({
      segment,
      line,
      seq: log.segments.slice(0, segment).reduce((sum, each) => sum + each.lines.length, 0) + line,
    })),
  );

function withLines(segment: number, edit: (lines: string[]) => string[]): Files {
  return {
    ...log,
    segments: log.segments.map((each, index) =>
      index === segment ? { ...each, lines: edit([...each.lines]) } : each,
    ),
  };
}

beforeEach(async () => {
  log = await write();
  const origin = log.checkpoint.split('\n')[0] ?? '';
  verifier = formatVerifierKey(await verifierKey(nodeCrypto, origin, signer.publicKey));
});

afterAll(() => {
  console.info('tamper matrix (all found, with the token / with the public key alone)');
  for (const [kind, { tried, token, key }] of matrix)
    console.info(`  ${kind}: ${tried} tried, ${token} / ${key}`);
});

describe('[AU-002] tampering is found, with the first bad record', () => {
  it('nothing, while nothing was done', async () => {
    expect(log.segments.length).toBeGreaterThanOrEqual(3);
    for (const how of ['token', 'key'] as const) {
      expect(await verify(toBytes(log), log.checkpoint, how)).toMatchObject({
        ok: true,
        bad: null,
        records: 8,
      });
    }
  });

  it('every byte of every segment flipped', async () => {
    const intact = toBytes(log);
    let first = 0;
    for (const [which, { bytes }] of intact.entries()) {
      let seq = first;
      for (let at = 0; at < bytes.length; at++) {
        if (bytes[at - 1] === 0x0a) seq += 1;
        if (at % stride(37) !== 0) continue;
        const flipped = Uint8Array.from(bytes);
        flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
        const segments = intact.map((each, index) => (index === which ? { ...each, bytes: flipped } : each));
        await expectBytesFound('byte flipped', segments, log.checkpoint, seq);
      }
      first = seq + 1;
    }
  }, 60_000);

  it('every byte of the checkpoint changed', async () => {
    for (let at = 0; at < log.checkpoint.length; at += stride(11)) {
      const code = log.checkpoint.charCodeAt(at);
      const checkpoint = `${log.checkpoint.slice(0, at)}${String.fromCharCode(code ^ 1)}${log.checkpoint.slice(at + 1)}`;
      await expectBytesFound('checkpoint byte changed', toBytes(log), checkpoint, null);
    }
  });

  it('every line deleted, repeated, and swapped with every other', async () => {
    for (const { segment, line, seq } of places()) {
      const count = log.segments[segment]?.lines.length ?? 0;
      const deleted = withLines(segment, (lines) => lines.toSpliced(line, 1));
      await expectFound('line deleted', deleted, line === count - 1 ? seq : null);
      const repeated = withLines(segment, (lines) => lines.toSpliced(line, 0, lines[line] ?? ''));
      await expectFound('line repeated', repeated, seq + 1);
      for (let other = line + 1; other < count; other++) {
        const swapped = withLines(segment, (lines) =>
          lines.with(line, lines[other] ?? '').with(other, lines[line] ?? ''),
        );
        await expectFound('lines swapped', swapped, seq);
      }
    }
  });

  it('every line edited: each value, its sequence number, its key order', async () => {
    const edits: ((line: string) => string)[] = [
      (line) => line.replace(/"ts":"2026/, '"ts":"2025').replace(/"ts":"2([^0])/, '"ts":"3$1'),
      (line) => line.replace('"workerId":"worker-1"', '"workerId":"worker-2"'),
      (line) => line.replace(/"seq":(\d+)/, (_, seq: string) => `"seq":${Number(seq) + 1}`),
      (line) => line.replace(/"epoch":(\d+)/, (_, epoch: string) => `"epoch":${Number(epoch) + 1}`),
      (line) => line.replace(/"id":"../, '"id":"zz'),
      (line) => line.replace(/"prev":"[^"]+"/, `"prev":"${'ab'.repeat(32)}"`),
      (line) => line.replace(/"mac":"[^"]+"/, `"mac":"${'ab'.repeat(32)}"`),
      (line) => line.replace(/"severity":"[A-Z]+"/, '"severity":"LOW"'),
      (line) => line.replace('"data":{', '"data":{ '),
      (line) => line.replace('"data":{', '"data":{"a":1,'),
      (line) => line.replace('{"correlationId"', '{"extra":1,"correlationId"'),
      (line) => JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(line) as object).reverse())),
    ];
    for (const { segment, line, seq } of places()) {
      for (const edit of edits) {
        const edited = withLines(segment, (lines) => lines.with(line, edit(lines[line] ?? '')));
        expect(edited).not.toEqual(log);
        await expectFound('line edited', edited, seq);
      }
    }
  });

  it('and says why', async () => {
    const reasons: readonly (readonly [AuditFault, (line: string) => string])[] = [
      ['wrong-sequence', (line) => line.replace(/"seq":(\d+)/, '"seq":77')],
      ['wrong-epoch', (line) => line.replace(/"epoch":(\d+)/, '"epoch":77')],
      ['wrong-worker', (line) => line.replace('"workerId":"worker-1"', '"workerId":"worker-2"')],
      ['wrong-prev', (line) => line.replace(/"prev":"[^"]+"/, `"prev":"${'ab'.repeat(32)}"`)],
      ['bad-mac', (line) => line.replace(/"mac":"[^"]+"/, `"mac":"${'ab'.repeat(32)}"`)],
      ['not-canonical', (line) => line.replace('"data":{', '"data":{ ')],
      ['bad-field', (line) => line.replace('"v":1', '"v":2')],
      ['not-json', (line) => line.slice(1)],
    ];
    for (const [reason, edit] of reasons) {
      const edited = withLines(1, (lines) => lines.with(1, edit(lines[1] ?? '')));
      const seq = (log.segments[0]?.lines.length ?? 0) + 1;
      const report = await verify(toBytes(edited), log.checkpoint, 'token');
      expect(report.bad).toMatchObject({ reason, seq, segment: log.segments[1]?.stem });
    }
  });

  it('a forged line added at every place, made with another token', async () => {
    const forged = (
      await write(new TextEncoder().encode('a token of somebody else, 32 b..'))
    ).segments.flatMap(({ lines }) => lines);
    log = await write();
    for (const { segment, line, seq } of places()) {
      const added = withLines(segment, (lines) => lines.toSpliced(line, 0, forged[seq] ?? ''));
      await expectFound('forged line added', added, seq);
      const replaced = withLines(segment, (lines) => lines.with(line, forged[seq] ?? ''));
      await expectFound('line replaced by a forged one', replaced, seq);
    }
  });

  it('segments removed, swapped, renamed, and an old one replayed under a newer epoch', async () => {
    const { segments } = log;
    for (const [index, { stem, lines }] of segments.entries()) {
      const without = { ...log, segments: segments.toSpliced(index, 1) };
      await expectFound('segment removed', without, Number(stem.slice(0, 16)));
      const renamed = {
        ...log,
        segments: segments.with(index, { stem: `${stem.slice(0, 17)}1999-01-01`, lines }),
      };
      await expectFound('segment renamed', renamed, Number(stem.slice(0, 16)));
      for (const [other, target] of segments.entries()) {
        if (other === index) continue;
        const from = Number(segments[Math.min(index, other)]?.stem.slice(0, 16));
        const swapped = {
          ...log,
          segments: segments
            .with(index, { stem, lines: target.lines })
            .with(other, { stem: target.stem, lines }),
        };
        await expectFound('segments swapped', swapped, from);
        const replayed = { ...log, segments: segments.with(other, { stem: target.stem, lines }) };
        await expectFound('old segment in the place of another', replayed, Number(target.stem.slice(0, 16)));
      }
      // With its numbers made to fit: only the MAC knows.
      const last = segments.at(-1);
      const end = places().length;
      const epoch = segments.length;
      const fitted = lines.map((line, at) =>
        line.replace(/"seq":\d+/, `"seq":${end + at}`).replace(/"epoch":\d+/, `"epoch":${epoch}`),
      );
      const before = last?.lines.at(-1) ?? '';
      const mac = /"mac":"([^"]+)"/.exec(before)?.[1] ?? '';
      fitted[0] = fitted[0]?.replace(/"prev":"[^"]+"/, `"prev":"${mac}"`) ?? '';
      const name = `${String(end).padStart(16, '0')}-${/"ts":"(.{10})/.exec(fitted[0])?.[1]}`;
      const report = await verify(
        toBytes({ ...log, segments: [...segments, { stem: name, lines: fitted }] }),
        log.checkpoint,
        'token',
      );
      expect(report.bad).toMatchObject({ seq: end, reason: 'bad-mac' });
    }
  });

  it('records after the newest checkpoint, cut or not: only the token tells', async () => {
    const older = checkpoints.get(5) ?? '';
    expect(await verify(toBytes(log), older, 'token')).toMatchObject({ ok: true, recordsPastCheckpoint: 3 });
    const report = await verify(toBytes(log), older, 'key');
    expect(report.ok).toBe(true);
    expect(report.notes.join(' ')).toContain('Nothing proves the 3 records after the checkpoint');
  });

  it('a tail removed with its checkpoints: found with one kept elsewhere, and honestly not without', async () => {
    const cut = { ...log, segments: log.segments.slice(0, 2), checkpoint: '' };
    const size = cut.segments.reduce((sum, { lines }) => sum + lines.length, 0);
    const rolledBack = checkpoints.get(size) ?? '';
    for (const how of ['token', 'key'] as const) {
      const unseen = await verify(toBytes(cut), rolledBack, how);
      expect(unseen.ok).toBe(true);
      expect(unseen.notes.join(' ')).toContain('is not detected');
      const seen = await verify(toBytes(cut), rolledBack, how, log.checkpoint);
      expect(seen.bad).toMatchObject({ reason: 'truncated', seq: size });
      expect(seen.bad?.message).toContain('cut or rolled back');
    }
    expect((await verify(toBytes(cut), log.checkpoint, 'token')).bad?.reason).toBe('truncated');
  });

  it('a history rewritten by who holds token and key: found with a checkpoint kept elsewhere', async () => {
    const kept = log.checkpoint;
    const rewritten = await write();
    expect((await verify(toBytes(rewritten), rewritten.checkpoint, 'token')).ok).toBe(true);
    const report = await verify(toBytes(rewritten), rewritten.checkpoint, 'token', kept);
    expect(report.bad).toMatchObject({ reason: 'root-mismatch', seq: null });
    log = rewritten;
  });

  it('a checkpoint of another log or another key', async () => {
    const other = log.checkpoint.replaceAll(WORKER, 'worker-2');
    expect((await verify(toBytes(log), log.checkpoint, 'key', other)).bad?.reason).toBe('checkpoint-origin');
    const sink = new MemorySink();
    const stranger = await auditObserver({
      sink,
      workerId: WORKER,
      token: TOKEN,
      crypto: nodeCrypto,
      signer: testSigner(4),
    });
    await stranger.close();
    const text = log.checkpoint.split('\n\n')[0] ?? '';
    const signature = sink.latestCheckpoint?.note.split('\n\n')[1]?.split(' ')[2] ?? '';
    const forged = `${text}\n\n\u2014 ${text.split('\n')[0]} ${signature}`;
    for (const how of ['token', 'key'] as const) {
      // Every record is as it was written: that much is said, whatever the checkpoint is worth.
      expect(await verify(toBytes(log), forged, how)).toMatchObject({
        ok: false,
        chain: how === 'token' ? 'verified' : 'links-only',
        bad: { reason: 'checkpoint-signature' },
      });
    }
  });

  it('a log verified with the wrong token', async () => {
    const source = memoryLogSource(nodeCrypto, toBytes(log), log.checkpoint);
    const token = new TextEncoder().encode('not the token of this log, sorry');
    expect(await verifyLog(nodeCrypto, source, { token })).toMatchObject({
      ok: false,
      chain: 'not-verified',
      bad: { seq: 0, reason: 'bad-mac' },
    });
  });
});

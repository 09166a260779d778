import type { SignedCheckpoint } from '../../../src/audit/format/checkpoint.js';
import { KeyRatchet } from '../../../src/audit/format/keys.js';
import { formatVerifierKey, verifierKey } from '../../../src/audit/format/note.js';
import { consistencyDocument, inclusionDocument } from '../../../src/audit/verify/proof-document.js';
import { Chain, emptyChain } from '../../../src/audit/write/chain.js';
import { AuditLog } from '../../../src/audit/write/log.js';
import { MemorySink } from '../../../src/audit/write/memory-sink.js';
import { openedData } from '../../../src/audit/write/observer.js';
import { toHex } from '../../../src/base/hex.js';
import type { CryptoProvider } from '../../../src/crypto/provider.js';
import { nodeCrypto } from '../../../src/node/crypto.js';
import { event, TOKEN, WORKER } from './events.js';
import { naiveConsistency, naivePath } from './oracle.js';
import { testSigner } from './signer.js';

const LOG_ID = '000102030405060708090a0b0c0d0e0f';
const SIGNER_SEED = 5;

/** Random bytes that count, so that ids are the same every time. */
function countingCrypto(): CryptoProvider {
  let next = 0;
  return {
    ...nodeCrypto,
    randomBytes: (length) => Uint8Array.from({ length }, () => next++ & 0xff),
  };
}

/** A small log of two segments, with everything that can be checked about it. */
export async function makeVectors() {
  const crypto = countingCrypto();
  const signer = testSigner(SIGNER_SEED);
  const sink = new MemorySink();
  const ratchet = await KeyRatchet.fromToken(crypto, TOKEN, WORKER, LOG_ID);
  const chain = new Chain(crypto, emptyChain(crypto, WORKER, LOG_ID, ratchet));
  const checkpoints: SignedCheckpoint[] = [];
  const clock = ['2026-01-30T23:59:59.000Z', '2026-02-01T08:00:00.000Z'];
  const log = new AuditLog(
    { crypto, chain, sinks: [sink], signer },
    {
      now: () => new Date(clock.length > 1 ? (clock.shift() ?? '') : (clock[0] ?? '')),
      onCheckpoint: (checkpoint) => void checkpoints.push(checkpoint),
    },
  );
  await log.record('audit.opened', await openedData(crypto, WORKER, LOG_ID, signer, false));
  await log.head();
  await log.on(event('vram.allocated', { at: '2026-01-30T23:59:59.500Z' }));
  await log.on(event('vram.sealed', { at: '2026-01-31T00:00:00.000Z' }));
  await log.head();
  await log.on(
    event('seal.verification_failed', { correlationId: '\u00e9\ud83d\ude00"\\', traceparent: null }),
  );
  await log.close();

  const segments = sink.segments().map(({ stem, bytes }) => ({
    stem,
    lines: new TextDecoder().decode(bytes).split('\n').slice(0, -1),
  }));
  const lines = segments.flatMap((segment) => segment.lines);
  const entries = lines.map((line) => new TextEncoder().encode(line));
  const [, old, head] = checkpoints;
  if (old === undefined || head === undefined) throw new Error('the log has too few checkpoints');
  return {
    v: 1,
    token: toHex(TOKEN),
    workerId: WORKER,
    logId: LOG_ID,
    signerSeed: SIGNER_SEED.toString(16).padStart(2, '0').repeat(32),
    verifierKey: formatVerifierKey(await verifierKey(crypto, head.origin, signer.publicKey)),
    segments,
    checkpoints: checkpoints.map(({ note }) => note),
    inclusion: inclusionDocument(head, 2, lines[2] ?? '', naivePath(2, entries)),
    consistency: consistencyDocument(old, head, naiveConsistency(old.size, entries)),
  };
}

// node bench/timing.mjs [--samples N]: does the time to refuse a forged handle reveal where its signature is wrong?
// Signatures with a wrong first byte against a wrong last byte, in random turns, compared with Welch's t-test (as dudect
// does it: |t| above 4.5 is a leak, below it none was seen). Needs a build. A control with a comparison that returns early
// shows that the measurement can detect a leak.
import { createHmac } from 'node:crypto';
import { parseArgs } from 'node:util';
import { fromBase64Url, toBase64Url } from '../dist/base/base64.js';
import { nodeCrypto } from '../dist/node/crypto.js';
import { deriveSealKey, signSeal, verifySignature } from '../dist/seal/index.js';
import { webCrypto } from '../dist/web/web-crypto.js';

const { values } = parseArgs({ options: { samples: { type: 'string', default: '200000' } } });
const SAMPLES = Number(values.samples);
const WARM_UP = 5_000;
const THRESHOLD = 4.5;
/** The slowest part of both classes is dropped: it measures interruptions, not the code under test. */
const KEPT = 0.95;

const PAYLOAD = {
  v: 1,
  sealId: '00112233445566778899aabbccddeeff',
  sealed: true,
  shardId: 'shard-1',
  workerId: 'worker-1',
  device: { backend: 'host', index: 0, name: 'host', uuid: null },
  byteLength: 4097,
  sha256: null,
  fsverity: `fsverity-sha256-12:${'ab'.repeat(32)}`,
  sealedAt: '2026-01-02T03:04:05.678Z',
  residency: 'host',
  immutability: 'api-only',
  emulated: false,
  modelRef: null,
  shardIndex: null,
  totalShards: null,
};

function wrongAt(signature, index) {
  const bytes = Uint8Array.from(signature);
  bytes[index] ^= 0x80;
  return bytes;
}

function statistics(times) {
  const mean = times.reduce((sum, time) => sum + time, 0) / times.length;
  const variance = times.reduce((sum, time) => sum + (time - mean) ** 2, 0) / (times.length - 1);
  return { mean, variance, count: times.length };
}

/** Welch's t, and the difference of the means with its 95 % interval. */
function compare(first, last) {
  const limit = [...first, ...last].sort((a, b) => a - b)[
    Math.floor((first.length + last.length) * KEPT) - 1
  ];
  const a = statistics(first.filter((time) => time <= limit));
  const b = statistics(last.filter((time) => time <= limit));
  const error = Math.sqrt(a.variance / a.count + b.variance / b.count);
  return { t: (a.mean - b.mean) / error, firstNs: a.mean, lastNs: b.mean, intervalNs: 1.96 * error };
}

async function measure(name, refuse) {
  const times = [[], []];
  for (let i = -WARM_UP; i < SAMPLES; i++) {
    const which = Math.random() < 0.5 ? 0 : 1;
    const from = process.hrtime.bigint();
    await refuse(which);
    const ns = Number(process.hrtime.bigint() - from);
    if (i >= 0) times[which].push(ns);
  }
  const { t, firstNs, lastNs, intervalNs } = compare(times[0], times[1]);
  console.log(
    `${name}: ${SAMPLES} samples, first byte wrong ${firstNs.toFixed(0)} ns, last byte wrong ${lastNs.toFixed(0)} ns, ` +
      `difference ${(firstNs - lastNs).toFixed(1)} ± ${intervalNs.toFixed(1)} ns, t = ${t.toFixed(2)}: ` +
      `${Math.abs(t) > THRESHOLD ? 'A LEAK' : 'no difference seen'}`,
  );
  return t;
}

const refusals = { leaks: 0 };
for (const [name, crypto] of [
  ['node:crypto', nodeCrypto],
  ['WebCrypto', webCrypto],
]) {
  const key = await deriveSealKey(crypto, new Uint8Array(32).fill(7), 'worker-1');
  const genuine = (await signSeal(key, PAYLOAD)).toJSON();
  const signature = fromBase64Url(genuine.signature);
  const handles = [0, 31].map((index) => ({ ...genuine, signature: toBase64Url(wrongAt(signature, index)) }));
  const t = await measure(`verify of a handle, ${name}`, async (which) => {
    try {
      await verifySignature(key, handles[which]);
    } catch {
      // Refused, as it must be; the time until here is measured.
      return;
    }
    throw new Error('a forged handle was accepted');
  });
  if (Math.abs(t) > THRESHOLD) refusals.leaks++;
}

// The control compares long strings byte by byte and returns at the first difference.
const mac = createHmac('sha256', 'key').update('x').digest();
const long = Buffer.concat(Array.from({ length: 64 }, () => mac));
const others = [0, long.length - 1].map((index) => wrongAt(long, index));
const control = await measure('control that must leak', async (which) => {
  const other = others[which];
  for (let i = 0; i < long.length; i++) if (long[i] !== other[i]) return;
});
if (Math.abs(control) <= THRESHOLD)
  console.log('the control did not leak: nothing can be concluded from this run');
process.exit(refusals.leaks === 0 && Math.abs(control) > THRESHOLD ? 0 : 1);

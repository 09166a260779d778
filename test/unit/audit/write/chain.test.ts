import { describe, expect, it } from 'vitest';
import { KeyRatchet } from '../../../../src/audit/format/keys.js';
import { Chain, emptyChain, MAX_SEGMENT_BYTES } from '../../../../src/audit/write/chain.js';
import type { CryptoProvider } from '../../../../src/crypto/provider.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { TOKEN, WORKER } from '../events.js';

const LOG_ID = '0a'.repeat(16);

describe('the chain', () => {
  const draft = (ts: string) =>
    ({
      type: 'audit.closed',
      severity: 'MEDIUM',
      ts,
      correlationId: null,
      traceparent: null,
      data: { reason: 'x' },
    }) as const;

  async function chained(maxSegmentBytes?: number) {
    const drawn: number[] = [];
    const crypto: CryptoProvider = {
      ...nodeCrypto,
      randomBytes: (length) => {
        drawn.push(length);
        return nodeCrypto.randomBytes(length);
      },
    };
    const ratchet = await KeyRatchet.fromToken(crypto, TOKEN, WORKER, LOG_ID);
    const chain = new Chain(crypto, emptyChain(crypto, WORKER, LOG_ID, ratchet), maxSegmentBytes);
    return { chain, ratchet, drawn };
  }

  it('begins a segment with a later day alone, and keeps one that a clock is set back in', async () => {
    expect(MAX_SEGMENT_BYTES).toBe(100_000_000);
    const { chain } = await chained();
    const segments = [];
    for (const ts of ['2026-01-02T00:00:00.000Z', '2026-01-01T23:59:59.000Z', '2026-01-03T00:00:00.000Z']) {
      const { segment } = await chain.append(draft(ts));
      segments.push([segment.epoch, segment.firstSeq, segment.date]);
    }
    expect(segments).toEqual([
      [0, 0, '2026-01-02'],
      [0, 0, '2026-01-02'],
      [1, 2, '2026-01-03'],
    ]);
  });

  it('fills a segment to its last byte', async () => {
    const ts = '2026-01-02T00:00:00.000Z';
    const rehearsal = await chained();
    const { bytes } = await rehearsal.chain.append(draft(ts));
    const exact = await chained(2 * bytes.length);
    const epochs = [];
    for (let i = 0; i < 3; i++) epochs.push((await exact.chain.append(draft(ts))).segment.epoch);
    expect(epochs).toEqual([0, 0, 1]);
    const less = await chained(2 * bytes.length - 1);
    await less.chain.append(draft(ts));
    expect((await less.chain.append(draft(ts))).segment.epoch).toBe(1);
    // One record longer than a segment still gets one, of its own.
    const tiny = await chained(10);
    expect((await tiny.chain.append(draft(ts))).segment.epoch).toBe(0);
    expect((await tiny.chain.append(draft(ts))).segment.epoch).toBe(1);
  });

  it('goes on in a segment that has bytes already, up to its last', async () => {
    const ts = '2026-01-02T00:00:00.000Z';
    const { bytes, segment } = await (await chained()).chain.append(draft(ts));
    for (const [held, epoch] of [
      [100, 0],
      [101, 1],
    ] as const) {
      const ratchet = await KeyRatchet.fromToken(nodeCrypto, TOKEN, WORKER, LOG_ID);
      const state = emptyChain(nodeCrypto, WORKER, LOG_ID, ratchet);
      const resumed = { ...state, segment: { start: segment, bytes: held } };
      const chain = new Chain(nodeCrypto, resumed, 100 + bytes.length);
      expect((await chain.append(draft(ts))).segment.epoch).toBe(epoch);
    }
  });

  it('gives every record an id of its own, drawn 256 at a time', async () => {
    const { chain, drawn } = await chained();
    const ids = new Set<string>();
    for (let i = 0; i < 257; i++) {
      const { bytes } = await chain.append(draft('2026-01-02T00:00:00.000Z'));
      const id = /"id":"([0-9a-f]{32})"/.exec(new TextDecoder().decode(bytes))?.[1];
      if (id !== undefined) ids.add(id);
    }
    expect(ids.size).toBe(257);
    expect(drawn).toEqual([4096, 4096]);
  });

  it('destroyed leaves no key behind', async () => {
    const { chain, ratchet } = await chained();
    await chain.append(draft('2026-01-02T00:00:00.000Z'));
    chain.destroy();
    // What is derived now is derived from zeros.
    expect([...(await ratchet.macKey())]).toEqual([
      ...(await nodeCrypto.hkdf(
        new Uint8Array(32),
        new Uint8Array(0),
        new TextEncoder().encode('audit/mac/v1'),
        32,
      )),
    ]);
  });
});

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { formatVerifierKey, verifierKey } from '../../../../src/audit/index.js';
import { MemorySink } from '../../../../src/audit/write/memory-sink.js';
import { auditObserver, newLogId, openedData } from '../../../../src/audit/write/observer.js';
import type { CryptoProvider } from '../../../../src/crypto/provider.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { refusal } from '../../../support/refusal.js';
import { TOKEN, WORKER } from '../events.js';
import { LOG_ID, NOW, ORIGIN, signer } from './log-fixture.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe('an observer of its own', () => {
  it('opens its log with a record that names it and its key', async () => {
    const sink = new MemorySink();
    const common = { workerId: WORKER, token: TOKEN, crypto: nodeCrypto };
    const log = await auditObserver({ ...common, sink, signer, now: () => new Date(NOW) });
    const { origin, logId } = await log.head();
    expect(logId).toMatch(/^[0-9a-f]{32}$/);
    expect(origin).toBe(`vram-residency/${WORKER}/${logId}`);
    const key = formatVerifierKey(await verifierKey(nodeCrypto, origin, signer.publicKey));
    expect(sink.records()[0]).toMatchObject({ type: 'audit.opened', ts: NOW });
    expect(sink.records()[0]?.data).toEqual({ logId, origin, verifierKey: key, resumed: false });
    const others = [new MemorySink(), new MemorySink()];
    const unsigned = await auditObserver({ ...common, sink: others });
    await unsigned.close();
    for (const other of others) {
      expect(other.records()[0]?.data).toMatchObject({ verifierKey: null });
      expect(other.records()).toHaveLength(2);
      expect(other.latestCheckpoint).toBeNull();
    }
    expect(await openedData(nodeCrypto, WORKER, LOG_ID, null, true)).toEqual({
      logId: LOG_ID,
      origin: ORIGIN,
      verifierKey: null,
      resumed: true,
    });
    await log.close();
  });

  it('has 16 random bytes for a name, and its own worker and token', async () => {
    const asked: number[] = [];
    const crypto: CryptoProvider = {
      ...nodeCrypto,
      randomBytes: (length) => {
        asked.push(length);
        return new Uint8Array(length).fill(10);
      },
    };
    expect(newLogId(crypto)).toBe('0a'.repeat(16));
    expect(asked).toEqual([16]);
    const open = (workerId: string, token: Uint8Array) => () =>
      auditObserver({ sink: new MemorySink(), workerId, token, crypto: nodeCrypto });
    expect(await refusal(open('a b', TOKEN))).toContain('INVALID_INPUT: "workerId" must be');
    expect(await refusal(open(WORKER, new Uint8Array(16)))).toBe(
      'INVALID_INPUT: "token" must not be all zero (a token is zeroed once its keys are derived: give a fresh copy)',
    );
    const letters = new TextEncoder().encode('letters-and-digits');
    expect(await refusal(open('a-letters-and-digits', letters))).toBe(
      'INVALID_INPUT: "workerId" must not contain the token',
    );
  });
});

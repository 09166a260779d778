import { describe, expect, it } from 'vitest';
import { KeyRatchet, MAX_EPOCH } from '../../../../src/audit/format/keys.js';
import type { CryptoProvider } from '../../../../src/crypto/provider.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { refusal } from '../../../support/refusal.js';
import { TOKEN, WORKER } from '../events.js';

const LOG_ID = '0a'.repeat(16);

describe('keys of the log', () => {
  it('are derived from no other token, and the refusal names it', async () => {
    expect(await refusal(() => KeyRatchet.fromToken(nodeCrypto, new Uint8Array(16), WORKER, LOG_ID))).toBe(
      'INVALID_INPUT: "token" must not be all zero (a token is zeroed once its keys are derived: give a fresh copy)',
    );
  });

  it('move forward alone, to a last epoch, and zero what they leave', async () => {
    const keys: Uint8Array[] = [];
    const crypto: CryptoProvider = {
      ...nodeCrypto,
      hkdf: async (...args) => {
        const key = await nodeCrypto.hkdf(...args);
        keys.push(key);
        return key;
      },
    };
    const ratchet = await KeyRatchet.fromToken(crypto, TOKEN, WORKER, LOG_ID);
    await ratchet.advanceTo(2);
    expect(ratchet.epoch).toBe(2);
    await ratchet.advanceTo(2);
    expect(keys.map((key) => key.every((byte) => byte === 0))).toEqual([true, true, false]);
    expect(await refusal(() => ratchet.advanceTo(1))).toBe(
      `INVALID_INPUT: "epoch" must be from 2 to ${MAX_EPOCH}`,
    );
    expect(await refusal(() => ratchet.advanceTo(MAX_EPOCH + 1))).toContain('INVALID_INPUT: "epoch"');
    await ratchet.mac();
    expect(keys.at(-1)?.every((byte) => byte === 0)).toBe(true);
    ratchet.destroy();
    expect(keys.every((key) => key.every((byte) => byte === 0))).toBe(true);
  });
});

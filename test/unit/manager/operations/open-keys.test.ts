import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import { hostBackend } from '../../../../src/device/host/index.js';
import { createPortableEngine } from '../../../../src/digest/index.js';
import { VramManager } from '../../../../src/manager/index.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { testSigner } from '../../audit/signer.js';
import { failure, overlay, platform, token } from '../fixture.js';
import { host } from './open-fixture.js';

describe('[CI-006] keys', () => {
  const fingerprint = (bytes: Uint8Array): string =>
    createHash('sha256').update('vram-residency/fp\0').update(bytes).digest('hex').slice(0, 6);

  it('are those of the token; every copy of it is zeroed', async () => {
    const inputs: Uint8Array[] = [];
    const watched = overlay(nodeCrypto, {
      hkdf: (...args: Parameters<typeof nodeCrypto.hkdf>) => {
        inputs.push(args[0]);
        return nodeCrypto.hkdf(...args);
      },
    });
    const given = token();
    const manager = await VramManager.open({ ...host, token: given }, { ...platform(), crypto: watched });
    expect(manager.status()).toMatchObject({ key: 'token', keyFingerprint: fingerprint(token()) });
    expect(inputs).toEqual([new Uint8Array(32)]);
    expect(inputs[0]).not.toBe(given);
    expect(given).toEqual(new Uint8Array(32));
    await manager.close();
  });

  it('without a token are those of 32 random bytes, which are zeroed as well', async () => {
    const drawn: Uint8Array[] = [];
    const watched = overlay(nodeCrypto, {
      randomBytes: (length: number) => {
        const bytes = new Uint8Array(length).fill(9);
        drawn.push(bytes);
        return bytes;
      },
    });
    const manager = await VramManager.open(host, { ...platform(), crypto: watched });
    expect(manager.status()).toMatchObject({
      key: 'ephemeral',
      keyFingerprint: fingerprint(new Uint8Array(32).fill(9)),
    });
    expect(drawn.filter(({ length }) => length === 32)).toEqual([new Uint8Array(32)]);
    await manager.close();
  });

  it.each(['hkdf', 'sha256'] as const)(
    'a %s that fails opens nothing, and the token is zeroed all the same',
    async (step) => {
      const copies: Uint8Array[] = [];
      const watched = overlay(nodeCrypto, {
        hkdf: (...args: Parameters<typeof nodeCrypto.hkdf>) => {
          copies.push(args[0]);
          return nodeCrypto.hkdf(...args);
        },
        [step]: async (input: Uint8Array) => {
          copies.push(input);
          throw new VramError('DEVICE_UNAVAILABLE', 'no cryptography');
        },
      });
      const given = token();
      const closed: string[] = [];
      const backend = hostBackend();
      const watchedBackend = overlay(backend, {
        open: async () => overlay(await backend.open(0), { close: async () => void closed.push('device') }),
      });
      const engine = overlay(createPortableEngine(), { close: async () => void closed.push('engine') });
      const call = VramManager.open(
        { ...host, token: given },
        { ...platform([watchedBackend]), crypto: watched, engine: () => engine },
      );
      expect(await failure(call)).toMatchObject({ message: 'no cryptography' });
      expect(given).toEqual(new Uint8Array(32));
      expect(copies.length).toBeGreaterThan(0);
      for (const copy of copies) expect(copy.every((byte) => byte === 0)).toBe(true);
      // Given back in the order opposite to that of taking.
      expect(closed).toEqual(['engine', 'device']);
    },
  );

  it('a policy that refuses leaves the token to the caller, and no copy of it', async () => {
    const copies: Uint8Array[] = [];
    const watched = new (class extends Uint8Array {
      override slice(): Uint8Array<ArrayBuffer> {
        const copy = Uint8Array.from(this);
        copies.push(copy);
        return copy;
      }
    })(token());
    const call = VramManager.open({ device: 'host', workerId: 'w', token: watched }, platform());
    expect(await failure(call)).toMatchObject({ code: 'POLICY_VIOLATION' });
    expect(Uint8Array.from(watched)).toEqual(token());
    expect(copies).toEqual([new Uint8Array(32)]);
  });
});

describe('an attestation key', () => {
  it('and a log head of the right kind are taken', async () => {
    const manager = await VramManager.open(
      { ...host, attestationKey: testSigner(1), auditHead: () => Promise.reject(new Error('unused')) },
      platform(),
    );
    expect(manager.status().state).toBe('open');
    await manager.close();
  });
});

import { timingSafeEqual } from 'node:crypto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { nodeCrypto } from '../../../src/node/crypto.js';
import { webCrypto } from '../../../src/web/web-crypto.js';

vi.mock('node:crypto', async (original) => {
  const real = await original<typeof import('node:crypto')>();
  return { ...real, timingSafeEqual: vi.fn(real.timingSafeEqual) };
});

const KEY = new Uint8Array(32).fill(1);
const MESSAGE = new TextEncoder().encode('a seal');

afterEach(() => {
  vi.restoreAllMocks();
});

/** Wrong in the first byte, in the last, in all, and not wrong at all. */
function candidates(right: Uint8Array): Uint8Array[] {
  return [[0], [31], Array.from({ length: 32 }, (_, index) => index), []].map((places) =>
    right.map((byte, index) => (places.includes(index) ? byte ^ 1 : byte)),
  );
}

describe('[CI-003] signatures are compared in constant time', () => {
  it('in Node every candidate goes whole through timingSafeEqual, wherever it differs', async () => {
    const mac = await nodeCrypto.hmac(KEY.slice());
    const right = await mac.sign(MESSAGE);
    const compare = vi.mocked(timingSafeEqual);
    const answers: boolean[] = [];
    for (const candidate of candidates(right)) {
      compare.mockClear();
      answers.push(await mac.verify(MESSAGE, candidate));
      expect(compare.mock.calls).toEqual([[right, candidate]]);
    }
    expect(answers).toEqual([false, false, false, true]);
  });

  it('in pages the platform verifies, and no byte is compared here', async () => {
    const mac = await webCrypto.hmac(KEY.slice());
    const right = await mac.sign(MESSAGE);
    const verify = vi.spyOn(globalThis.crypto.subtle, 'verify');
    const answers: boolean[] = [];
    for (const candidate of candidates(right)) answers.push(await mac.verify(MESSAGE, candidate));
    expect(answers).toEqual([false, false, false, true]);
    expect(verify).toHaveBeenCalledTimes(4);
  });
});

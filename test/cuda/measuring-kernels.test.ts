import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { NO_COMPILER, openEmulator } from './emulator-control.js';
import { ILLEGAL_ADDRESS, Session } from './emulator-session.js';
import { sample } from './known-answers.js';

const emulator = openEmulator();
const ptx = readFileSync(new URL('../../cuda/variants/measure.ptx', import.meta.url), 'utf8');

const skipped = emulator === null ? ` ${NO_COMPILER}` : '';
describe.skipIf(emulator === null)(`kernels that measurements run beside${skipped}`, () => {
  const open = (): Session => {
    if (emulator === null) throw new Error(NO_COMPILER);
    return new Session(emulator.control);
  };

  describe('vr_sum', () => {
    const MODULUS = 2n ** 64n;
    function naiveSum(bytes: Uint8Array, before: bigint): bigint {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      let sum = before;
      for (let at = 0; at < bytes.length; at += 4) sum += BigInt(view.getUint32(at, true));
      return sum % MODULUS;
    }

    function sum(bytes: Uint8Array, grid: number, threads: number, before = 0n, length = bytes.length) {
      const session = open();
      const from = session.allocate(bytes);
      const cell = session.allocate(new Uint8Array(BigUint64Array.of(before).buffer));
      const args = [{ u64: from }, { u64: BigInt(length) }, { u64: cell }];
      const result = session.run(session.load(ptx), 'vr_sum', grid, threads, args);
      return { result, sum: result === 0 ? session.counter(cell) : null };
    }

    it.each([
      [16, 1, 32],
      [48, 1, 64],
      [4096, 1, 128],
      [4096 + 16, 2, 64],
      [65536, 3, 256],
      [1_000_000, 4, 96],
      [1_000_000, 300, 256],
    ])('%i bytes by %i thread blocks of %i agree with a naive sum', (length, grid, threads) => {
      const bytes = sample(length, length);
      expect(sum(bytes, grid, threads)).toEqual({ result: 0, sum: naiveSum(bytes, 0n) });
    });

    it('adds to what is there, wraps at 64 bits and carries past 32', () => {
      const ones = new Uint8Array(4096).fill(255);
      for (const before of [5n, MODULUS - 1n]) {
        expect(sum(ones, 2, 64, before)).toEqual({ result: 0, sum: naiveSum(ones, before) });
      }
    });

    it('no bytes add nothing; what lies behind `bytes` is not read', () => {
      expect(sum(new Uint8Array(16).fill(1), 1, 32, 9n, 0)).toEqual({ result: 0, sum: 9n });
      const bytes = sample(64, 3);
      expect(sum(bytes, 1, 32, 0n, 48)).toEqual({ result: 0, sum: naiveSum(bytes.subarray(0, 48), 0n) });
    });

    it('a vector more than there is is an illegal load', () => {
      expect(sum(sample(4096, 1), 2, 64, 0n, 4112).result).toBe(ILLEGAL_ADDRESS);
    });
  });

  describe('vr_busy', () => {
    const CHAINS = 4;
    function naiveBusy(iterations: number, threads: number): number {
      let word = 0;
      for (let chain = 0; chain < CHAINS * threads; chain++) {
        let x = chain;
        for (let n = 0; n < iterations; n++) {
          x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
          x = (x ^ (x >>> 15)) >>> 0;
        }
        word = (word ^ x) >>> 0;
      }
      return word;
    }

    it.each([
      [0, 1, 32],
      [1, 1, 32],
      [3, 1, 33],
      [4, 2, 64],
      [1001, 3, 128],
      [250, 5, 256],
    ])(
      '%i iterations by %i thread blocks of %i end as a naive loop does, and write one word',
      (iterations, grid, threads) => {
        const session = open();
        const before = Uint32Array.of(0xa5a5a5a5, 0x12345678, 0xa5a5a5a5);
        const cells = session.allocate(new Uint8Array(before.buffer));
        const args = [{ u32: iterations }, { u64: cells + 4n }];
        expect(session.run(session.load(ptx), 'vr_busy', grid, threads, args)).toBe(0);
        const word = (0x12345678 ^ naiveBusy(iterations, grid * threads)) >>> 0;
        const words = new Uint32Array(session.read(cells, 12).buffer);
        expect([...words]).toEqual([0xa5a5a5a5, word, 0xa5a5a5a5]);
      },
    );

    it('takes longer the more iterations it is given: twenty times as many exceed the budget of one', () => {
      if (emulator === null) throw new Error(NO_COMPILER);
      const session = new Session(emulator.control, { instructionBudget: 2000 });
      const word = session.allocate(new Uint8Array(4));
      const run = (iterations: number): number =>
        session.run(session.load(ptx), 'vr_busy', 1, 32, [{ u32: iterations }, { u64: word }]);
      expect(run(20)).toBe(0);
      expect(run(400)).toBe(702);
    });
  });
});

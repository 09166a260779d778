import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { NO_COMPILER, openEmulator } from './emulator-control.js';
import { Session } from './emulator-session.js';
import { blockHashes, sample, sha256 } from './known-answers.js';

const emulator = openEmulator();
const ptx = readFileSync(new URL('../../cuda/vram.ptx', import.meta.url), 'utf8');

describe.skipIf(emulator === null)(`the PTX that ships${emulator === null ? ` ${NO_COMPILER}` : ''}`, () => {
  const open = (): Session => {
    if (emulator === null) throw new Error(NO_COMPILER);
    return new Session(emulator.control);
  };

  /** `entry` over `data`; `count` is what the kernel is told. */
  function run(session: Session, text: string, entry: string, data: Uint8Array, count: number, block = 256) {
    const outputs = entry === 'vr_leaves' ? count : Math.ceil(count / 128);
    const canary = sample(4096, 99);
    const from = session.allocate(data);
    const canaryAt = session.allocate(canary);
    const out = session.allocate(new Uint8Array((outputs + 1) * 32));
    const counter = session.allocate(new Uint8Array(8));
    const args = [
      { u64: from },
      { u64: BigInt(count) },
      { u64: canaryAt },
      { u64: out },
      { u64: counter },
    ] as const;
    const grid = Math.ceil((outputs + 1) / block);
    const result = session.run(session.load(text), entry, grid, block, args);
    if (result !== 0) return { result, digests: new Uint8Array(), canary: new Uint8Array(), count: 0n };
    const all = session.read(out, (outputs + 1) * 32);
    return {
      result,
      digests: all.slice(0, outputs * 32),
      canary: all.slice(outputs * 32),
      count: session.counter(counter),
    };
  }

  it.each([
    [1, 32],
    [2, 32],
    [31, 32],
    [32, 64],
    [300, 256],
  ])('vr_leaves: %i blocks in thread blocks of %i agree with node:crypto', (blocks, block) => {
    const data = sample(blocks * 4096, blocks);
    const got = run(open(), ptx, 'vr_leaves', data, blocks, block);
    expect(got.result).toBe(0);
    expect(got.digests).toEqual(blockHashes(data));
    expect(got.canary).toEqual(sha256(sample(4096, 99)));
    expect(got.count).toBe(BigInt(blocks));
  });

  it.each([1, 2, 127, 128, 129, 1000])('vr_nodes: %i hashes agree with node:crypto', (count) => {
    const data = sample(count * 32, count);
    const got = run(open(), ptx, 'vr_nodes', data, count);
    expect(got.result).toBe(0);
    expect(got.digests).toEqual(blockHashes(data));
    expect(got.canary).toEqual(sha256(sample(4096, 99)));
    expect(got.count).toBe(BigInt(Math.ceil(count / 128)));
  });

  it.each([1, 3, 1000])('vr_fill: %i vectors, and not a byte more', (vectors) => {
    const session = open();
    const at = session.allocate(new Uint8Array(vectors * 16 + 16));
    const args = [{ u64: at }, { u64: BigInt(vectors * 16) }, { u32: 0x11223344 }];
    expect(session.run(session.load(ptx), 'vr_fill', Math.ceil(vectors / 64) + 1, 64, args)).toBe(0);
    const words = new Uint32Array(session.read(at, vectors * 16 + 16).buffer);
    expect(words.subarray(0, vectors * 4).every((word) => word === 0x11223344)).toBe(true);
    expect(words.subarray(vectors * 4)).toEqual(new Uint32Array(4));
  });

  it('a wrong round constant: one changed byte of the PTX changes every digest', () => {
    const data = sample(3 * 4096, 11);
    const right = run(open(), ptx, 'vr_leaves', data, 3);
    // K of round 0, 0x428a2f98, as nvcc writes it.
    expect(ptx).toContain(', 1116352408;');
    const wrong = run(open(), ptx.replace(', 1116352408;', ', 1116352409;'), 'vr_leaves', data, 3);
    expect(wrong.result).toBe(0);
    for (let k = 0; k < 3; k++) {
      expect(wrong.digests.slice(32 * k, 32 * k + 32)).not.toEqual(right.digests.slice(32 * k, 32 * k + 32));
    }
    expect(wrong.canary).not.toEqual(right.canary);
  });

  it('a bound off by one (one block too many) is an illegal access, not a digest', () => {
    const got = run(open(), ptx, 'vr_leaves', sample(4096 * 4 - 16, 3), 4);
    expect(got.result).toBe(700);
    expect(emulator?.control.lastFault()).toMatch(/vr_leaves, PTX line \d+: load outside every allocation/);
  });

  it('misaligned data is refused by the first load', () => {
    const session = open();
    const from = session.allocate(new Uint8Array(8192));
    const out = session.allocate(96);
    const args = [{ u64: from + 8n }, { u64: 1n }, { u64: from }, { u64: out }, { u64: out + 64n }];
    expect(session.run(session.load(ptx), 'vr_leaves', 1, 32, args)).toBe(716);
  });
});

describe('the committed PTX', () => {
  it('asks for no more than PTX 8.0 and compute capability 7.5', () => {
    expect(ptx).toMatch(/^\.version 8\.0$/m);
    expect(ptx).toMatch(/^\.target sm_75$/m);
  });
});

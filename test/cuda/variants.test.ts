import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { NO_COMPILER, openEmulator } from './emulator-control.js';
import { ILLEGAL_ADDRESS, Session } from './emulator-session.js';
import { blockHashes, sample, sha256 } from './known-answers.js';

interface Variant {
  readonly name: string;
  readonly file: string;
  /** One sentence on what it tries. */
  readonly tries: string;
  readonly blocksPerThread: number;
  /** Threads a thread block that it may be launched with. */
  readonly threads: readonly number[];
}

const folder = new URL('../../cuda/variants/', import.meta.url);
const variants: readonly Variant[] = JSON.parse(readFileSync(new URL('variants.json', folder), 'utf8'));
const textOf = (variant: Variant): string => readFileSync(new URL(variant.file, folder), 'utf8');

const emulator = openEmulator();
const LAUNCH_FAILED = 719;
const SIZES = [1, 31, 32, 33, 127, 128, 129, 300];
const BLOCK = 4096;
const HASH = 32;
/** Bytes around the hashes and the counter, which no kernel may touch. */
const GUARD = 64;
const GUARD_BYTE = 0xa5;
const canary = sample(BLOCK, 99);
const data = sample(Math.max(...SIZES) * BLOCK, 1);
const expected = blockHashes(data);

interface Answer {
  readonly result: number;
  readonly hashes: Uint8Array;
  readonly canary: Uint8Array;
  readonly count: bigint;
  /** All that the launch left as it was: the guards, the blocks and the canary. */
  readonly untouched: boolean;
}

interface Run {
  /** What the kernel is told. */
  readonly blocks: number;
  readonly threads: number;
  /** Thread blocks more than are needed. */
  readonly spare?: number;
  /** What there is; `blocks` of them unless given. */
  readonly bytes?: number;
}

function leaves(variant: Variant, text: string, run: Run): Answer {
  const { blocks, threads, spare = 0, bytes = blocks * BLOCK } = run;
  if (emulator === null) throw new Error(NO_COMPILER);
  const session = new Session(emulator.control);
  const guarded = (length: number): Uint8Array => {
    return new Uint8Array(length + 2 * GUARD).fill(GUARD_BYTE).fill(0, GUARD, GUARD + length);
  };
  const input = data.subarray(0, bytes);
  const outBytes = (blocks + 1) * HASH;
  const from = session.allocate(input);
  const canaryAt = session.allocate(canary);
  const out = session.allocate(guarded(outBytes));
  const counter = session.allocate(guarded(8));
  const grid = Math.ceil((blocks + 1) / (threads * variant.blocksPerThread)) + spare;
  const result = session.run(session.load(text), 'vr_leaves', grid, threads, [
    { u64: from },
    { u64: BigInt(blocks) },
    { u64: canaryAt },
    { u64: out + BigInt(GUARD) },
    { u64: counter + BigInt(GUARD) },
  ]);
  if (result !== 0) {
    const nothing = new Uint8Array();
    return { result, hashes: nothing, canary: nothing, count: 0n, untouched: false };
  }
  const written = session.read(out, outBytes + 2 * GUARD);
  const counted = session.read(counter, 8 + 2 * GUARD);
  const guards = [written, counted].flatMap((bytes) => [...bytes.slice(0, GUARD), ...bytes.slice(-GUARD)]);
  return {
    result,
    hashes: written.slice(GUARD, GUARD + blocks * HASH),
    canary: written.slice(GUARD + blocks * HASH, GUARD + outBytes),
    count: new DataView(counted.buffer).getBigUint64(GUARD, true),
    untouched:
      guards.every((byte) => byte === GUARD_BYTE) &&
      Buffer.compare(session.read(from, input.length), input) === 0 &&
      Buffer.compare(session.read(canaryAt, BLOCK), canary) === 0,
  };
}

const right = (blocks: number): Answer => ({
  result: 0,
  hashes: expected.slice(0, blocks * HASH),
  canary: sha256(canary),
  count: BigInt(blocks),
  untouched: true,
});

const skipped = emulator === null ? ` ${NO_COMPILER}` : '';
describe.skipIf(emulator === null)(`variants of vr_leaves${skipped}`, () => {
  describe.each(variants)('$name', (variant) => {
    const text = textOf(variant);

    it.each(variant.threads)(
      '%i threads a thread block: leaves, canary and count, and not a byte more',
      (threads) => {
        for (const blocks of SIZES) {
          expect(leaves(variant, text, { blocks, threads }), `${blocks} blocks`).toEqual(right(blocks));
        }
      },
    );

    it('thread blocks with nothing to do leave everything as it is', () => {
      for (const blocks of [31, 32]) {
        expect(leaves(variant, text, { blocks, threads: 64, spare: 2 })).toEqual(right(blocks));
      }
    });

    it('a block that is not all there is an illegal load, not a hash', () => {
      const got = leaves(variant, text, { blocks: 33, threads: 64, bytes: 33 * BLOCK - 16 });
      expect(got.result).toBe(ILLEGAL_ADDRESS);
      expect(emulator?.control.lastFault()).toMatch(/load outside every allocation/);
    });

    it('a wrong round constant changes every hash', () => {
      // K of round 0, 0x428a2f98, as nvcc writes it.
      const wrong = text.replace(/\b1116352408\b/g, '1116352409');
      expect(wrong).not.toBe(text);
      const got = leaves(variant, wrong, { blocks: 33, threads: 64 });
      expect(got.result).toBe(0);
      expect(got.canary).not.toEqual(sha256(canary));
      for (let at = 0; at < 33 * HASH; at += HASH) {
        expect(got.hashes.slice(at, at + HASH)).not.toEqual(expected.slice(at, at + HASH));
      }
    });
  });

  const BARRIER = /bar\.warp\.sync\s+-1;/g;
  it.each(variants.filter((variant) => textOf(variant).match(BARRIER) !== null))(
    '$name: without either of its two barriers threads race',
    (variant) => {
      const text = textOf(variant);
      const barriers = [...text.matchAll(BARRIER)].map((match) => match.index);
      expect(barriers).toHaveLength(2);
      for (const at of barriers) {
        const wrong = `${text.slice(0, at)}//${text.slice(at)}`;
        expect(leaves(variant, wrong, { blocks: 33, threads: 64 }).result).toBe(LAUNCH_FAILED);
        expect(emulator?.control.lastFault()).toMatch(/races with another thread/);
      }
    },
  );
});

describe('the manifest of the variants', () => {
  const names = (extension: string): readonly string[] =>
    readdirSync(folder)
      .filter((name) => name.endsWith(extension))
      .sort();

  it('names every PTX but that of the measuring kernels, once', () => {
    const files = [...variants.map(({ file }) => file), 'measure.ptx'].sort();
    expect(names('.ptx')).toEqual(files);
    expect(names('.cu')).toEqual(files.map((file) => file.replace(/\.ptx$/, '.cu')));
    expect(new Set(variants.map(({ name }) => name)).size).toBe(variants.length);
  });

  it.each(variants)(
    '$name: a sentence, a launch geometry, the entry and parameters of vr_leaves',
    (variant) => {
      expect(variant.file).toBe(`${variant.name}.ptx`);
      expect(variant.tries).toMatch(/^[A-Z].*\.$/);
      expect(variant.threads).toEqual([64, 128, 256]);
      expect([1, 2]).toContain(variant.blocksPerThread);
      const entry = /^\.visible \.entry vr_leaves\(([^)]*)\)/m;
      const shipped = readFileSync(new URL('../vram.ptx', folder), 'utf8');
      expect(entry.exec(textOf(variant))?.[1]).toBe(entry.exec(shipped)?.[1]);
    },
  );

  it.each(names('.ptx'))('%s asks for no more than PTX 8.0 and compute capability 7.5', (file) => {
    const text = readFileSync(new URL(file, folder), 'utf8');
    expect(text).toMatch(/^\.version 8\.0$/m);
    expect(text).toMatch(/^\.target sm_75$/m);
  });
});

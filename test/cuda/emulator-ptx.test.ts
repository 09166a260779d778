import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { EmulatorConfig } from './emulator-control.js';
import { NO_COMPILER, openEmulator } from './emulator-control.js';
import { kernel, Session } from './emulator-session.js';

const emulator = openEmulator();
const INVALID_PTX = 218;

describe.skipIf(emulator === null)(`the PTX interpreter${emulator === null ? ` ${NO_COMPILER}` : ''}`, () => {
  const open = (config?: EmulatorConfig): Session => {
    if (emulator === null) throw new Error(NO_COMPILER);
    return new Session(emulator.control, config);
  };

  /** Runs 32 threads (or `threads`) of a body that leaves its answer in %r2 (tid in %r1); all the answers. */
  function answers(body: string, threads = 32): Uint32Array {
    const session = open();
    const out = session.allocate(new Uint8Array(threads * 4));
    const store =
      '\n  mul.wide.u32 %rd30, %r1, 4;\n  add.s64 %rd31, %rd1, %rd30;\n  st.global.u32 [%rd31], %r2;';
    expect(session.run(session.load(kernel(body + store)), 'test', 1, threads, [{ u64: out }])).toBe(0);
    return new Uint32Array(session.read(out, threads * 4).buffer);
  }

  const refusal = (text: string): string => {
    const session = open();
    expect(session.call('cuModuleLoadData', new BigUint64Array(1), text)).toBe(INVALID_PTX);
    return session.control.lastFault();
  };

  const rotate = (x: number, n: number): number => ((x >>> n) | (x << (32 - n))) >>> 0;
  const X = 0x89abcdef;

  it.each<[string, string, (tid: number) => number]>([
    ['add, sub with wrap-around', 'add.u32 %r3, %r1, -5; sub.s32 %r2, %r3, 7;', (t) => t - 12],
    ['mul.lo', `mul.lo.u32 %r2, %r1, ${X};`, (t) => Math.imul(t, X)],
    ['mul.hi signed', 'mul.hi.s32 %r2, %r1, -2;', (t) => (t === 0 ? 0 : -1)],
    ['mad.lo', 'mad.lo.s32 %r2, %r1, 3, %r1;', (t) => t * 4],
    [
      '64-bit product',
      `mul.wide.u32 %rd2, %r1, ${X}; shr.u64 %rd3, %rd2, 32; cvt.u32.u64 %r2, %rd3;`,
      (t) => Number((BigInt(t) * BigInt(X)) >> 32n),
    ],
    [
      'shf right',
      `mov.u32 %r3, ${X}; shf.r.wrap.b32 %r2, %r3, %r3, %r1;`,
      (t) => (t === 0 ? X : rotate(X, t)),
    ],
    [
      'shf left of two words',
      `mov.u32 %r3, ${X}; shf.l.wrap.b32 %r2, %r3, %r1, 8;`,
      (t) => (t << 8) | (X >>> 24),
    ],
    ['shf clamp', `mov.u32 %r3, ${X}; shf.r.clamp.b32 %r2, %r3, %r1, 40;`, (t) => t],
    [
      'lop3, any table',
      `mov.u32 %r3, ${X}; lop3.b32 %r2, %r1, %r3, 255, 0x1b;`,
      (t) => {
        let out = 0;
        for (let bit = 0; bit < 32; bit++) {
          const row = (((t >>> bit) & 1) << 2) | (((X >>> bit) & 1) << 1) | ((255 >>> bit) & 1);
          out |= ((0x1b >>> row) & 1) << bit;
        }
        return out;
      },
    ],
    [
      'prmt',
      `mov.u32 %r3, ${X}; prmt.b32 %r2, %r3, %r1, 0x4013;`,
      (t) => ((t & 255) << 24) | (0xef << 16) | (0xcd << 8) | 0x89,
    ],
    [
      'shifts past the width',
      'shl.b32 %r3, %r1, 32; mov.u32 %r4, -8; shr.s32 %r5, %r4, 99; add.s32 %r2, %r3, %r5;',
      () => -1,
    ],
    [
      'division and remainder',
      'div.u32 %r3, 1000, %r1; rem.u32 %r4, 1000, %r1; sub.u32 %r2, %r3, %r4;',
      (t) => (t === 0 ? -1 - 1000 : Math.trunc(1000 / t) - (1000 % t)),
    ],
    [
      'min, max, abs, neg',
      'sub.s32 %r3, %r1, 9; abs.s32 %r4, %r3; neg.s32 %r5, %r4; min.s32 %r6, %r5, -3; max.u32 %r2, %r6, 4;',
      (t) => Math.min(-Math.abs(t - 9), -3),
    ],
    [
      'popc, clz, brev',
      'popc.b32 %r3, %r1; clz.b32 %r4, %r1; brev.b32 %r5, %r1; add.u32 %r6, %r3, %r4; xor.b32 %r2, %r6, %r5;',
      (t) => {
        const bits = t.toString(2);
        const ones = [...bits].filter((bit) => bit === '1').length;
        return (
          (ones + Math.clz32(t)) ^ (Number.parseInt([...bits.padStart(32, '0')].reverse().join(''), 2) | 0)
        );
      },
    ],
    [
      'setp, selp, predicates',
      'setp.gt.u32 %p1, %r1, 4; setp.lt.s32 %p2, %r1, 9; and.pred %p3, %p1, %p2; not.pred %p4, %p3; selp.b32 %r3, 7, ' +
        '8, %p3; @%p4 add.u32 %r3, %r3, 100; mov.u32 %r2, %r3;',
      (t) => (t > 4 && t < 9 ? 7 : 108),
    ],
    [
      'conversions',
      'cvt.s32.s8 %r3, %r1; cvt.rn.f32.s32 %f1, %r3; mul.f32 %f2, %f1, 0f3FC00000; cvt.rzi.s32.f32 %r2, %f2;',
      (t) => Math.trunc(t * 1.5),
    ],
    ['half to f32', 'mov.u16 %rs1, 0xC248; cvt.f32.f16 %f1, %rs1; mov.b32 %r2, %f1;', () => 0xc0490000],
    [
      'nested scopes of inline assembly',
      '{ .reg .u32 t; mov.u32 t, %ntid.x; shr.u32 t, t, 1; add.u32 %r2, t, %r1; }',
      (t) => 16 + t,
    ],
    [
      'fma keeps what a product and a sum would lose',
      'mov.f32 %f1, 0f3F800001; fma.rn.f32 %f2, %f1, %f1, 0fBF800002; mov.b32 %r2, %f2;',
      () => 0x28800000,
    ],
  ])('%s', (_name, body, expected) => {
    const got = answers(`  ${body.replaceAll('; ', ';\n  ')}`);
    for (let tid = 0; tid < 32; tid++) expect(got[tid], `thread ${tid}`).toBe(expected(tid) >>> 0);
  });

  it('threads part and meet again: a loop of its own length for each', () => {
    const got = answers(`
  mov.u32 %r2, 0;
  mov.u32 %r3, 0;
  setp.eq.u32 %p1, %r1, 0;
  @%p1 bra $done;
$again:
  add.u32 %r3, %r3, 1;
  and.b32 %r4, %r3, 1;
  setp.eq.u32 %p2, %r4, 0;
  @%p2 bra $even;
  add.u32 %r2, %r2, 100;
  bra.uni $next;
$even:
  add.u32 %r2, %r2, %r3;
$next:
  setp.lt.u32 %p3, %r3, %r1;
  @%p3 bra $again;
$done:`);
    for (let tid = 0; tid < 32; tid++) {
      let sum = 0;
      for (let k = 1; k <= tid; k++) sum += k % 2 === 1 ? 100 : k;
      expect(got[tid]).toBe(sum);
    }
  });

  it('shared memory and barriers: a block reverses its indices over eight warps', () => {
    const got = answers(
      `
  .shared .align 4 .b8 cells[1024];
  mov.u32 %r3, cells;
  shl.b32 %r4, %r1, 2;
  add.u32 %r5, %r3, %r4;
  st.shared.u32 [%r5], %r1;
  bar.sync 0;
  sub.u32 %r6, 1020, %r4;
  add.u32 %r7, %r3, %r6;
  ld.shared.u32 %r2, [%r7];`,
      256,
    );
    expect([...got]).toEqual(Array.from({ length: 256 }, (_, tid) => 255 - tid));
  });

  it('atomics of all threads of several blocks count once each', () => {
    const session = open({ workers: 2 });
    const counter = session.allocate(new Uint8Array(16));
    const text = kernel(
      '  atom.global.add.u64 %rd2, [%rd1], 3;\n  red.global.max.u32 [%rd1+8], %r1;\n  atom.global.add.u32 %r2, ' +
        '[%rd1+12], 1;',
    );
    expect(session.run(session.load(text), 'test', 50, 96, [{ u64: counter }])).toBe(0);
    const view = new DataView(session.read(counter, 16).buffer);
    expect([view.getBigUint64(0, true), view.getUint32(8, true), view.getUint32(12, true)]).toEqual([
      14400n,
      95,
      4800,
    ]);
  });

  it('matrix times vector in f32, as a compiler writes it', () => {
    const session = open();
    const [rows, columns] = [70, 33];
    const matrix = Float32Array.from({ length: rows * columns }, (_, k) =>
      Math.fround(((k * 37) % 101) / 16 - 3),
    );
    const vector = Float32Array.from({ length: columns }, (_, k) => k / 8 - 2);
    const [m, v] = [
      session.allocate(new Uint8Array(matrix.buffer)),
      session.allocate(new Uint8Array(vector.buffer)),
    ];
    const out = session.allocate(rows * 4);
    const text = `.version 8.0
.target sm_75
.address_size 64
.visible .entry product(.param .u64 m, .param .u64 v, .param .u64 out, .param .u32 rows, .param .u32 columns)
{
  .reg .pred %p<3>;
  .reg .b32 %r<8>;
  .reg .f32 %f<4>;
  .reg .b64 %rd<8>;
  ld.param.u64 %rd1, [m];
  ld.param.u64 %rd2, [v];
  ld.param.u32 %r1, [rows];
  ld.param.u32 %r2, [columns];
  mov.u32 %r3, %ctaid.x;
  mov.u32 %r4, %ntid.x;
  mov.u32 %r5, %tid.x;
  mad.lo.s32 %r3, %r3, %r4, %r5;
  setp.ge.u32 %p1, %r3, %r1;
  @%p1 bra $end;
  mul.lo.u32 %r6, %r3, %r2;
  mul.wide.u32 %rd3, %r6, 4;
  add.s64 %rd1, %rd1, %rd3;
  mov.f32 %f1, 0f00000000;
$loop:
  ld.global.nc.f32 %f2, [%rd1];
  ld.global.f32 %f3, [%rd2];
  fma.rn.f32 %f1, %f2, %f3, %f1;
  add.s64 %rd1, %rd1, 4;
  add.s64 %rd2, %rd2, 4;
  add.s32 %r2, %r2, -1;
  setp.ne.s32 %p2, %r2, 0;
  @%p2 bra $loop;
  ld.param.u64 %rd4, [out];
  mul.wide.u32 %rd5, %r3, 4;
  add.s64 %rd6, %rd4, %rd5;
  st.global.f32 [%rd6], %f1;
$end:
  ret;
}
`;
    const args = [{ u64: m }, { u64: v }, { u64: out }, { u32: rows }, { u32: columns }];
    expect(session.run(session.load(text), 'product', 3, 32, args)).toBe(0);
    const got = new Float32Array(session.read(out, rows * 4).buffer);
    for (let row = 0; row < rows; row++) {
      // Sixteenths and eighths: every sum is exact in f32, whatever the order.
      let sum = 0;
      for (let k = 0; k < columns; k++) sum += (matrix[row * columns + k] ?? 0) * (vector[k] ?? 0);
      expect(got[row]).toBe(sum);
    }
  });

  it.each<[string, string, RegExp]>([
    [
      'an unknown instruction',
      '  shfl.sync.bfly.b32 %r2, %r1, 1, 31, -1;',
      /line 13: instruction 'shfl\.sync\.bfly\.b32' is not supported/,
    ],
    ['an unknown modifier', '  add.sat.s32 %r2, %r1, 1;', /'add\.sat\.s32' is not supported/],
    ['an undeclared register', '  add.u32 %r64, %r1, 1;', /'%r64' is not declared/],
    ['a register of the wrong width', '  add.u32 %rd2, %r1, 1;', /wrong width/],
    ['a predicate as a number', '  add.u32 %r2, %p1, 1;', /wrong type/],
    ['a jump to nowhere', '  bra $nowhere;', /no label '\$nowhere'/],
    ['a missing semicolon', '  add.u32 %r2, %r1, 1', /expected ';'/],
    ['too many operands', '  add.u32 %r2, %r1, 1, 2;', /expected ';'/],
    ['a parameter that is not there', '  ld.param.u64 %rd2, [p9];', /no parameter 'p9'/],
    ['a read past a parameter', '  ld.param.u64 %rd2, [p0+4];', /past parameter/],
    ['a label twice', '$a:\n$a:', /label '\$a' twice/],
    ['a strange character', '  add.u32 %r2, %r1, #1;', /unexpected character/],
    [
      'an f32 rounding that is not emulated',
      '  add.rz.f32 %f1, %f2, %f3;',
      /'add\.rz\.f32' is not supported/,
    ],
  ])('refuses %s, with its line', (_name, body, message) => {
    expect(refusal(kernel(body))).toMatch(message);
  });

  it('refuses what is not PTX at all', () => {
    for (const text of ['', 'hello', '.version 8.0', '.version 8.0\n.target sm_75', '.version 99.0\n'])
      refusal(text);
    refusal(kernel('').replace(/\}\s*$/, ''));
    refusal(`${kernel('')}\n.visible .entry`);
  });

  it('a kernel that never ends runs into the instruction budget', () => {
    const session = open({ instructionBudget: 1000 });
    expect(session.run(session.load(kernel('$l:\n  bra $l;')), 'test', 1, 32, [{ u64: 0n }])).toBe(702);
  });

  it('more threads than the kernel allows, or none, are not a launch', () => {
    const session = open();
    const limited = session.load(kernel('').replace('\n{', '\n.maxntid 64, 1, 1\n{'));
    expect(session.run(limited, 'test', 1, 65, [{ u64: 0n }])).toBe(701);
    expect(session.run(limited, 'test', 0, 32, [{ u64: 0n }])).toBe(1);
    expect(session.run(limited, 'test', 1, 1025, [{ u64: 0n }])).toBe(1);
  });

  it('thousands of damaged texts: refused, run or faulted, never a crash and never a hang', () => {
    const shipped = readFileSync(new URL('../../cuda/vram.ptx', import.meta.url), 'utf8');
    const fill =
      shipped.slice(0, shipped.indexOf('.visible')) +
      shipped.slice(shipped.indexOf('.visible .entry vr_fill'));
    const own = kernel(`
  .shared .align 8 .b8 cells[256];
  mov.u32 %r2, cells;
  mad.lo.u32 %r2, %r1, 4, %r2;
  mov.u32 %r3, 5;
$loop:
  add.s32 %r3, %r3, -1;
  st.shared.u32 [%r2+4], %r3;
  bar.sync 0;
  ld.global.v4.u32 {%r4, %r5, %r6, %r7}, [%rd1];
  lop3.b32 %r8, %r4, %r5, %r6, 150;
  setp.ne.s32 %p1, %r3, 0;
  @%p1 bra $loop;
  cvt.rn.f32.u32 %f1, %r8;
  atom.global.add.f32 %f2, [%rd1+8], %f1;
  st.global.v2.u64 [%rd1+16], {%rd1, %rd1};`);
    const words = [
      '%r1',
      '%rd1',
      '%p1',
      '64',
      '-1',
      '0',
      ';',
      ',',
      '{',
      '}',
      '[',
      ']',
      '.u32',
      '.u64',
      '@',
      'bra',
      '$loop',
      'bar.sync 0;',
      '<',
      '4294967295',
      'ret;',
      '.shared',
      '+',
    ];
    const known = new Set([0, 218, 222, 209, 500, 700, 701, 702, 716, 719]);
    const seen = new Map<number, number>();
    let state = 20240607;
    const random = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return Math.floor((state / 0x1_0000_0000) * below);
    };
    for (let round = 0; round < 2500; round++) {
      const base = round % 2 === 0 ? own : fill;
      let text = base;
      for (let changes = 1 + random(3); changes > 0; changes--) {
        const at = random(text.length);
        const kind = random(4);
        if (kind === 0) text = text.slice(0, at) + text.slice(at + 1 + random(8));
        else if (kind === 1)
          text = text.slice(0, at) + String.fromCharCode(33 + random(94)) + text.slice(at + 1);
        else if (kind === 2) text = `${text.slice(0, at)} ${words[random(words.length)]} ${text.slice(at)}`;
        else {
          const lines = text.split('\n');
          const [from, to] = [random(lines.length), random(lines.length)];
          lines.splice(to, 0, lines[from] ?? '');
          text = lines.join('\n');
        }
      }
      const session = open({ instructionBudget: 5000 });
      const memory = session.allocate(new Uint8Array(64));
      const module = new BigUint64Array(1);
      let result = session.call('cuModuleLoadData', module, text);
      const kernelHandle = new BigUint64Array(1);
      if (result === 0) {
        const name = base === own ? 'test' : 'vr_fill';
        result = session.call('cuModuleGetFunction', kernelHandle, module[0] ?? 0n, name);
      }
      if (result === 0) {
        const args = [{ u64: memory }, { u64: 64n }, { u64: 1n }, { u64: 0n }, { u64: 0n }];
        const name = base === own ? 'test' : 'vr_fill';
        result = session.run(module[0] ?? 0n, name, 1, 40, args);
      }
      seen.set(result, (seen.get(result) ?? 0) + 1);
    }
    expect([...seen.keys()].filter((result) => !known.has(result))).toEqual([]);
    expect(seen.get(INVALID_PTX)).toBeGreaterThan(500);
    expect(seen.get(0)).toBeGreaterThan(100);
    expect(seen.get(700)).toBeGreaterThan(0);
  });
});

import { describe, expect, it } from 'vitest';
import { NO_COMPILER, openEmulator } from './emulator-control.js';
import { ILLEGAL_ADDRESS, kernel, Session } from './emulator-session.js';

const emulator = openEmulator();
const MISALIGNED = 716;
const LAUNCH_FAILED = 719;

/** 256 bytes of shared memory at %r10; %r11 = the address of the thread's own word there. */
const CELLS = `
  .shared .align 16 .b8 cells[256];
  mov.u32 %r10, cells;
  mad.lo.u32 %r11, %r1, 4, %r10;`;
const SYNC_WARP = 'bar.warp.sync -1;';
const SYNC_BLOCK = 'bar.sync 0;';

const skipped = emulator === null ? ` ${NO_COMPILER}` : '';
describe.skipIf(emulator === null)(`shared memory in the PTX interpreter${skipped}`, () => {
  /** Runs a body that leaves each thread's answer in %r2 (tid in %r1). */
  function run(body: string, threads = 32) {
    if (emulator === null) throw new Error(NO_COMPILER);
    const session = new Session(emulator.control);
    const out = session.allocate(new Uint8Array(threads * 4));
    const store = `
  mul.wide.u32 %rd30, %r1, 4;
  add.s64 %rd31, %rd1, %rd30;
  st.global.u32 [%rd31], %r2;`;
    const text = kernel(`${CELLS}\n  ${body.replaceAll('; ', ';\n  ')}${store}`);
    const result = session.run(session.load(text), 'test', 1, threads, [{ u64: out }]);
    const answers = result === 0 ? [...new Uint32Array(session.read(out, threads * 4).buffer)] : [];
    return { result, answers, fault: emulator.control.lastFault() };
  }
  const each = (answer: (tid: number) => number, threads = 32): number[] =>
    Array.from({ length: threads }, (_, tid) => answer(tid));

  describe('bounds and alignment', () => {
    it('the last word and the last vector are inside', () => {
      const got = run(
        'setp.eq.u32 %p1, %r1, 0; mov.u32 %r2, 0; @%p1 st.shared.u32 [%r10+252], 7; @%p1 ld.shared.u32 %r2, [cells+252];',
      );
      expect(got).toMatchObject({ result: 0, answers: each((tid) => (tid === 0 ? 7 : 0)) });
      const vector = 'st.shared.v4.u32 [%r10+240], {%r1, 5, 6, 7}; ld.shared.v2.u32 {%r3, %r2}, [%r10+240];';
      expect(run(vector, 1)).toMatchObject({ result: 0, answers: [5] });
    });

    it.each([
      ['a load one word past the end', 'ld.shared.u32 %r2, [%r10+256];', 'load'],
      ['a store one word past the end', 'st.shared.u32 [%r10+256], %r1;', 'store'],
      ['an atomic one word past the end', 'atom.shared.add.u32 %r2, [%r10+256], 1;', 'atomic'],
      ['a load before the beginning', 'ld.shared.u32 %r2, [%r10+-4];', 'load'],
      [
        'an address that wraps around',
        'mov.u32 %r3, -16; ld.shared.v4.u32 {%r2, %r4, %r5, %r6}, [%r3];',
        'load',
      ],
      ['a 64-bit address with high bits', 'mov.u64 %rd2, 0x100000000; st.shared.u32 [%rd2], %r1;', 'store'],
      ['a global address', 'st.shared.u32 [%rd1], %r1;', 'store'],
    ])('%s is an illegal access', (_name, body, access) => {
      const { result, fault } = run(body, 1);
      expect(result).toBe(ILLEGAL_ADDRESS);
      expect(fault).toMatch(new RegExp(`^test, PTX line \\d+: ${access} outside shared memory$`));
    });

    it('one thread of many outside is enough', () => {
      expect(run(`st.shared.u32 [%r11+132], %r1;`).result).toBe(ILLEGAL_ADDRESS);
      expect(run(`st.shared.u32 [%r11+128], %r1; mov.u32 %r2, %r1;`).result).toBe(0);
    });

    it('a misaligned vector is refused', () => {
      const { result, fault } = run('ld.shared.v4.u32 {%r2, %r3, %r4, %r5}, [%r10+8];', 1);
      expect(result).toBe(MISALIGNED);
      expect(fault).toMatch(/not a multiple of 16/);
    });
  });

  const NEIGHBOUR = 'xor.b32 %r12, %r1, 1; mad.lo.u32 %r12, %r12, 4, %r10;';
  const EXCHANGE = (barrier: string): string =>
    `${NEIGHBOUR} st.shared.u32 [%r11], %r1; ${barrier} ld.shared.u32 %r2, [%r12];`;

  describe('barriers of a warp', () => {
    it('order a store before the load of another lane', () => {
      expect(run(EXCHANGE(SYNC_WARP))).toMatchObject({ result: 0, answers: each((tid) => tid ^ 1) });
    });

    it('count the threads that are there: a part of a warp, and one that others have left', () => {
      expect(run(EXCHANGE(SYNC_WARP), 20)).toMatchObject({ result: 0, answers: each((tid) => tid ^ 1, 20) });
      const left = run(`mov.u32 %r2, 9; setp.ge.u32 %p1, %r1, 16; @%p1 ret; ${EXCHANGE(SYNC_WARP)}`);
      expect(left).toMatchObject({ result: 0, answers: each((tid) => (tid < 16 ? tid ^ 1 : 0)) });
    });

    it('order nothing between warps; a barrier of the block does', () => {
      const other = 'xor.b32 %r12, %r1, 32; mad.lo.u32 %r12, %r12, 4, %r10; st.shared.u32 [%r11], %r1;';
      const ordered = run(`${other} ${SYNC_BLOCK} ld.shared.u32 %r2, [%r12];`, 64);
      expect(ordered).toMatchObject({ result: 0, answers: each((tid) => tid ^ 32, 64) });
      const { result, fault } = run(`${other} ${SYNC_WARP} ld.shared.u32 %r2, [%r12];`, 64);
      // The first warp reads rubbish that the second overwrites: the store comes second here.
      expect([result, fault]).toEqual([LAUNCH_FAILED, expect.stringMatching(/store in shared memory races/)]);
    });

    it.each([
      [
        'some threads do not reach it',
        `setp.lt.u32 %p1, %r1, 9; @%p1 ${SYNC_WARP}`,
        /reach the barrier apart/,
      ],
      ['it names some threads only', 'bar.warp.sync 0xffff;', /some threads of a warp is not emulated/],
      ['its mask leaves out a thread that is there', 'bar.warp.sync 0xfffffffe;', /some threads of a warp/],
    ])('fail where %s', (_name, body, message) => {
      const { result, fault } = run(`mov.u32 %r2, 0; ${body}`);
      expect([result, fault]).toEqual([LAUNCH_FAILED, expect.stringMatching(message)]);
    });
  });

  describe('races that lock-step hides', () => {
    it.each([
      ['a load of what another thread stored', EXCHANGE(''), 'load'],
      [
        'a load of a byte that another thread stored',
        'add.u32 %r12, %r10, %r1; st.shared.u8 [%r12], %r1; ld.shared.u8 %r2, [%r10+3];',
        'load',
      ],
      [
        'a store to what another thread loaded',
        `ld.shared.u32 %r2, [%r11]; ${NEIGHBOUR} st.shared.u32 [%r12], %r1;`,
        'store',
      ],
      ['a store to what another thread stored', 'st.shared.u32 [%r10], %r1;', 'store'],
      ['a second turn without a second barrier', `${EXCHANGE(SYNC_WARP)} st.shared.u32 [%r11], 0;`, 'store'],
      [
        'a load of what other threads add to',
        'atom.shared.add.u32 %r3, [%r10], 1; ld.shared.u32 %r2, [%r10];',
        'load',
      ],
      [
        'an atomic on what another thread stored',
        'st.shared.u32 [%r11], 0; atom.shared.add.u32 %r3, [%r10], 1;',
        'atomic',
      ],
      [
        'a vector of which one word is stored to',
        `st.shared.u32 [%r11], %r1; ld.shared.v2.u32 {%r2, %r3}, [%r10+8];`,
        'load',
      ],
    ])('%s', (_name, body, access) => {
      const { result, fault } = run(`mov.u32 %r2, 0; ${body}`);
      expect(result).toBe(LAUNCH_FAILED);
      expect(fault).toMatch(
        new RegExp(`${access} in shared memory races with another thread: no barrier between`),
      );
    });

    it.each([
      [
        'its own word, again and again',
        'st.shared.u32 [%r11], %r1; ld.shared.u32 %r2, [%r11]; st.shared.u32 [%r11], 0;',
        32,
      ],
      [
        'neighbouring bytes',
        'add.u32 %r12, %r10, %r1; st.shared.u8 [%r12], %r1; ld.shared.u8 %r2, [%r12];',
        32,
      ],
      ['loads of one word by threads of two warps', 'ld.shared.u32 %r3, [%r10]; mov.u32 %r2, %r1;', 64],
      [
        'atomics of two warps between two barriers',
        [
          `setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.u32 [%r10], 0; ${SYNC_BLOCK}`,
          `atom.shared.add.u32 %r3, [%r10], 1; ${SYNC_BLOCK}`,
          'ld.shared.u32 %r3, [%r10]; add.u32 %r2, %r3, %r1; sub.u32 %r2, %r2, 64;',
        ].join(' '),
        64,
      ],
    ])('no race: %s', (_name, body, threads) => {
      expect(run(body, threads)).toMatchObject({ result: 0, answers: each((tid) => tid, threads) });
    });
  });
});

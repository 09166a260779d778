import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { damage } from '../random.mjs';

export const name = 'ptx-interpreter';
export const modules = [];
/** The test driver is started afresh for every run. */
export const cost = 4;

const LIBRARY = fileURLToPath(new URL('../../../native/emulator/build/libcuda.so.1', import.meta.url));
export const missing = existsSync(LIBRARY)
  ? null
  : 'the CUDA test driver is not built: npm run build:emulator';

const BLOCK = 40;
const BYTES = 256;
/** CUresults that a damaged or wild program may end with; anything else, or a crash, is a fault of the interpreter. */
const REFUSALS = new Map([
  [218, 'invalid PTX'],
  [222, 'unsupported PTX'],
  [209, 'no image for the device'],
  [500, 'entry not found'],
  [700, 'illegal address'],
  [701, 'out of resources'],
  [702, 'timed out'],
  [716, 'misaligned address'],
  [719, 'launch failed'],
]);

const D = (random) => `%rd${2 + random.below(8)}`;
const r = (random) => `%r${1 + random.below(12)}`;
const immediate = (random) =>
  random.pick(['0', '1', '-1', '31', '32', '33', '255', '4294967295', '2147483648', '-2147483648', '12345']);
const value = (random) => (random.chance(60) ? r(random) : immediate(random));

const INSTRUCTIONS = [
  (x) =>
    `${x.pick(['add', 'sub', 'min', 'max'])}.${x.pick(['s32', 'u32'])} ${r(x)}, ${value(x)}, ${value(x)};`,
  (x) => `mul.${x.pick(['lo', 'hi'])}.${x.pick(['s32', 'u32'])} ${r(x)}, ${value(x)}, ${value(x)};`,
  (x) => `mad.lo.s32 ${r(x)}, ${value(x)}, ${value(x)}, ${value(x)};`,
  (x) => `${x.pick(['div', 'rem'])}.${x.pick(['s32', 'u32'])} ${r(x)}, ${value(x)}, ${value(x)};`,
  (x) => `${x.pick(['and', 'or', 'xor'])}.b32 ${r(x)}, ${value(x)}, ${value(x)};`,
  (x) => `${x.pick(['shl.b32', 'shr.u32', 'shr.s32'])} ${r(x)}, ${value(x)}, ${value(x)};`,
  (x) =>
    `shf.${x.pick(['l', 'r'])}.${x.pick(['wrap', 'clamp'])}.b32 ${r(x)}, ${value(x)}, ${value(x)}, ${value(x)};`,
  (x) => `lop3.b32 ${r(x)}, ${value(x)}, ${value(x)}, ${value(x)}, ${x.below(256)};`,
  (x) => `prmt.b32 ${r(x)}, ${value(x)}, ${value(x)}, ${x.pick(['0x0123', '0x4013', '0x7777', '291'])};`,
  (x) => `${x.pick(['popc', 'clz', 'brev', 'not'])}.b32 ${r(x)}, ${value(x)};`,
  (x) => `mul.wide.u32 ${D(x)}, ${value(x)}, ${value(x)};`,
  (x) => `add.s64 ${D(x)}, ${D(x)}, ${x.pick([D(x), '16', '-16'])};`,
  (x) =>
    `setp.${x.pick(['eq', 'ne', 'lt', 'le', 'gt', 'ge'])}.${x.pick(['s32', 'u32'])} %p${1 + x.below(4)}, ${value(x)}, ` +
    `${value(x)};`,
  (x) => `selp.b32 ${r(x)}, ${value(x)}, ${value(x)}, %p${1 + x.below(4)};`,
  (x) => `@${x.pick(['', '!'])}%p${1 + x.below(4)} mov.u32 ${r(x)}, ${value(x)};`,
  (x) => `ld.global.u32 ${r(x)}, [%rd1+${4 * x.below(BYTES / 4)}];`,
  (x) => `ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%rd1+${16 * x.below(BYTES / 16)}];`,
  (x) => `atom.global.add.u32 ${r(x)}, [%rd1+${4 * x.below(BYTES / 4)}], ${value(x)};`,
  (x) => `st.global.u32 [%rd1+${4 * x.below(BYTES / 4)}], ${r(x)};`,
];
/** What a program must not do and what must be caught: out of bounds, misaligned, endless. */
const WILD = [
  (x) => `ld.global.u32 ${r(x)}, [%rd1+${BYTES + 4 * x.below(100)}];`,
  (x) => `st.global.u32 [%rd1-${4 + 4 * x.below(100)}], ${r(x)};`,
  (x) => `ld.global.u32 ${r(x)}, [%rd1+${1 + x.below(3)}];`,
  (x) => `st.global.u32 [${D(x)}], ${r(x)};`,
  () => '$end:\n  bra $end;',
  () => 'bra $nowhere;',
  () => 'frob.u32 %r1, %r2;',
];

function program(random) {
  const lines = Array.from({ length: 1 + random.below(20) }, () => `  ${random.pick(INSTRUCTIONS)(random)}`);
  const wild = random.chance(30);
  if (wild) lines.splice(random.below(lines.length + 1), 0, `  ${random.pick(WILD)(random)}`);
  const clear = Array.from({ length: 12 }, (_, i) => `  mov.u32 %r${i + 1}, ${i};`).join('\n');
  const wide = Array.from({ length: 8 }, (_, i) => `  mov.u64 %rd${i + 2}, ${i};`).join('\n');
  const predicates = [1, 2, 3, 4].map((i) => `  setp.eq.u32 %p${i}, ${i}, 1;`).join('\n');
  const text =
    `.version 8.0\n.target sm_75\n.address_size 64\n.visible .entry test(.param .u64 p0)\n{\n  .reg .pred ` +
    `%p<8>;\n  .reg .b32 %r<64>;\n  .reg .b64 %rd<32>;\n  ld.param.u64 %rd1, [p0];\n` +
    `${clear}\n${wide}\n${predicates}\n${lines.join('\n')}\n  ret;\n}\n`;
  return { text, wild };
}

export function create() {
  const holder = { exports: {} };
  process.dlopen(holder, LIBRARY);
  const driver = holder.exports;
  const out = () => new BigUint64Array(1);
  const must = (call, ...args) => {
    const result = driver.call(call, ...args);
    if (result !== 0) throw new Error(`${call}: ${result} ${driver.lastFault()}`);
  };

  function run(text) {
    driver.reset({ instructionBudget: 5000, workers: 1 });
    must('cuInit', 0);
    const context = out();
    must('cuDevicePrimaryCtxRetain', context, 0);
    must('cuCtxSetCurrent', context[0]);
    const memory = out();
    must('cuMemAlloc_v2', memory, BYTES);
    must('cuMemcpyHtoD_v2', memory[0], new Uint8Array(BYTES), BYTES);
    const module = out();
    let result = driver.call('cuModuleLoadData', module, text);
    const kernel = out();
    if (result === 0) result = driver.call('cuModuleGetFunction', kernel, module[0], 'test');
    if (result === 0) {
      // As many cells as a damaged declaration might ask for.
      const cells = Array.from({ length: 8 }, () => new Uint8Array(16));
      new DataView(cells[0].buffer).setBigUint64(0, memory[0], true);
      const pointers = BigUint64Array.from(cells.map((cell) => driver.addressOf(cell)));
      result = driver.call('cuLaunchKernel', kernel[0], 1, 1, 1, BLOCK, 1, 1, 0, null, pointers, null);
      if (result === 0) result = driver.call('cuCtxSynchronize');
      if (cells.length !== 8) throw new Error('the cells went away');
    }
    const answer = new Uint8Array(BYTES);
    if (result === 0) must('cuMemcpyDtoH_v2', answer, memory[0], BYTES);
    return { result, answer: Buffer.from(answer).toString('hex') };
  }

  return {
    make(random) {
      const made = program(random);
      if (!random.chance(25)) return { ...made, damaged: false };
      const text = new TextDecoder('latin1').decode(damage(new TextEncoder().encode(made.text), random));
      return { text: text.replaceAll('\0', ' '), wild: true, damaged: true };
    },

    check({ text, wild }) {
      const first = run(text);
      if (first.result !== 0) {
        const refusal = REFUSALS.get(first.result);
        if (refusal === undefined) throw new Error(`CUresult ${first.result}: ${driver.lastFault()}`);
        // Address arithmetic aside, what is generated without wildness is a legal program.
        if (!wild) throw new Error(`refused a legal program: ${refusal}: ${driver.lastFault()}`);
        return `${refusal}: ${driver.lastFault()}`;
      }
      const second = run(text);
      if (second.result !== 0 || second.answer !== first.answer) throw new Error('two runs, two answers');
      return 'accepted';
    },
  };
}

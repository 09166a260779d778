// What ptxas makes of cuda/vram.ptx, for every architecture it knows: registers, spills, machine instructions per 64 bytes hashed, and
// the throughput these predict. Nothing here is measured: no GPU is asked. `--check` fails where a target of the kernel is missed.
//
// Neither cuobjdump nor nvdisasm is needed: machine code of these architectures is a row of 16-byte instructions whose low nine bits
// name the operation, and the main loop is what lies between a backward branch and its target. An operation that the table below does
// not know is shown by its number and counted where it costs most.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { knownArchitectures, ptxas } from './ptxas-architectures.mjs';

const nvcc = process.env['NVCC'] ?? 'nvcc';
const shipped = fileURLToPath(new URL('../cuda/vram.ptx', import.meta.url));
const source = fileURLToPath(new URL('../cuda/vram.cu', import.meta.url));

/** At most this many machine instructions per 64 bytes, on these; no spills anywhere. */
const TARGET = { instructions: 1430, architectures: ['sm_80', 'sm_90'] };
/** SHA-256 of 4096 bytes takes 65 rounds of 64 bytes: the last is padding alone, with a schedule of constants. */
const CHUNKS = 64;

const FMA = 'fma';
const ALU = 'alu';
const OTHER = 'other';
const OPERATIONS = new Map([
  [0x002, ['MOV', ALU]],
  [0x007, ['SEL', ALU]],
  [0x00c, ['ISETP', ALU]],
  [0x010, ['IADD3', ALU]],
  [0x011, ['LEA', ALU]],
  [0x012, ['LOP3', ALU]],
  [0x016, ['PRMT', ALU]],
  [0x019, ['SHF', ALU]],
  [0x01c, ['PLOP3', ALU]],
  [0x024, ['IMAD', FMA]],
  [0x025, ['IMAD.WIDE', FMA]],
  [0x035, ['IADD', ALU]],
  [0x036, ['IADD.64', ALU]],
  [0x08c, ['UISETP', OTHER]],
  [0x090, ['UIADD3', OTHER]],
  [0x144, ['BRX', OTHER]],
  [0x147, ['BRA', OTHER]],
  [0x181, ['LDG', OTHER]],
  [0x186, ['STG', OTHER]],
]);

/** Lanes that a multiprocessor's pipe takes in a cycle; every one of these issues four warps (128 lanes) a cycle. */
const PIPES = { alu: 64, fma: 64, issue: 128 };
/** Published figures of boards, not of this project: multiprocessors, boost clock in GHz, memory bandwidth in GB/s. */
const BOARDS = new Map([
  ['sm_75', { name: 'T4', multiprocessors: 40, clock: 1.59, bandwidth: 320 }],
  ['sm_80', { name: 'A100 SXM 80 GB', multiprocessors: 108, clock: 1.41, bandwidth: 2039 }],
  ['sm_86', { name: 'RTX A6000', multiprocessors: 84, clock: 1.8, bandwidth: 768 }],
  ['sm_89', { name: 'L40S', multiprocessors: 142, clock: 2.52, bandwidth: 864 }],
  ['sm_90', { name: 'H100 SXM', multiprocessors: 132, clock: 1.98, bandwidth: 3350 }],
]);

const run = (command, args) => spawnSync(command, args, { encoding: 'utf8' });

function textSection(elf, wanted) {
  const table = Number(elf.readBigUInt64LE(40));
  const [entryBytes, count, names] = [elf.readUInt16LE(58), elf.readUInt16LE(60), elf.readUInt16LE(62)];
  const section = (k) => {
    const at = table + k * entryBytes;
    return {
      name: elf.readUInt32LE(at),
      offset: Number(elf.readBigUInt64LE(at + 24)),
      size: Number(elf.readBigUInt64LE(at + 32)),
    };
  };
  const strings = section(names).offset;
  for (let k = 0; k < count; k++) {
    const { name, offset, size } = section(k);
    const begin = strings + name;
    if (elf.toString('latin1', begin, elf.indexOf(0, begin)) === wanted)
      return elf.subarray(offset, offset + size);
  }
  throw new Error(`no section ${wanted}`);
}

/** The instructions of the loop with the most of them, by number of operation. */
function mainLoop(code) {
  const instructions = [];
  for (let at = 0; at < code.length; at += 16) {
    instructions.push({ low: code.readBigUInt64LE(at), high: code.readBigUInt64LE(at + 8) });
  }
  const branches = instructions.flatMap(({ low, high }, at) => {
    if ((low & 0x1ffn) !== 0x147n) return [];
    const field = Number(BigInt.asIntN(48, (low >> 34n) | ((high & 0x3ffffn) << 30n)));
    return [{ at, field, extra: Number((low >> 16n) & 0xffn) }];
  });
  // Every function ends in a branch to itself, 16 bytes back: it tells how this architecture writes distances.
  const self = branches.findLast((branch) => branch.field < 0);
  const split = self?.field === -1 && self.extra === 0xfc;
  if (self === undefined || (!split && self.field !== -4))
    throw new Error('unknown machine code: no closing branch');
  let longest = [];
  for (const { at, field, extra } of branches) {
    const words = split ? field * 256 + extra : field;
    const target = at + 1 + words / 4;
    if (!Number.isInteger(target) || target < 0 || target > at) continue;
    if (at + 1 - target > longest.length) longest = instructions.slice(target, at + 1);
  }
  return longest.map(({ low }) => Number(low & 0x1ffn));
}

function measure(ptx, architecture, kernel, folder) {
  const [input, output] = [join(folder, 'in.ptx'), join(folder, 'out.cubin')];
  writeFileSync(input, ptx);
  const made = run(ptxas, ['-v', `-arch=${architecture}`, input, '-o', output]);
  if (made.status !== 0) throw new Error(`ptxas ${architecture}:\n${made.stderr}`);
  const said = made.stderr.slice(made.stderr.indexOf(`'${kernel}'`));
  const figure = (pattern) => Number(pattern.exec(said)?.[1] ?? Number.NaN);
  const loop = mainLoop(textSection(readFileSync(output), `.text.${kernel}`));
  const pipes = { alu: 0, fma: 0 };
  const mix = new Map();
  for (const operation of loop) {
    const [name, pipe] = OPERATIONS.get(operation) ?? [`0x${operation.toString(16)}`, ALU];
    mix.set(name, (mix.get(name) ?? 0) + 1);
    if (pipe !== OTHER) pipes[pipe]++;
  }
  return {
    registers: figure(/Used (\d+) registers/),
    spills: figure(/(\d+) bytes spill stores/) + figure(/(\d+) bytes spill loads/),
    instructions: loop.length,
    mix: [...mix]
      .sort((a, b) => b[1] - a[1])
      .map(([name, n]) => `${name} ${n}`)
      .join(', '),
    // Cycles a multiprocessor needs for 64 bytes of one block: the busiest of its pipes, or issuing.
    cycles: Math.max(pipes.alu / PIPES.alu, pipes.fma / PIPES.fma, loop.length / PIPES.issue),
    busiest: pipes.alu >= pipes.fma ? ALU : FMA,
    pipes,
  };
}

/** GB/s, by arithmetic: bytes per cycle of all multiprocessors, less the padding round, capped by memory. */
function predict({ cycles }, { multiprocessors, clock, bandwidth }) {
  const hashed = ((multiprocessors * clock * 64) / cycles) * (CHUNKS / (CHUNKS + 1));
  return { value: Math.min(hashed, bandwidth), bound: hashed > bandwidth ? 'memory' : 'arithmetic' };
}

function table(title, ptx, folder, known) {
  console.log(`\n${title}`);
  console.log('arch     kernel     regs  spills  instr/64B  ALU   FMA   cycles/64B  predicted');
  const rows = [];
  for (const architecture of known) {
    for (const kernel of ['vr_leaves', 'vr_nodes']) {
      const row = measure(ptx, architecture, kernel, folder);
      rows.push({ architecture, kernel, ...row });
      const board = BOARDS.get(architecture);
      const prediction = board === undefined || kernel !== 'vr_leaves' ? null : predict(row, board);
      const words =
        prediction === null
          ? ''
          : `${prediction.value.toFixed(0)} GB/s on ${board.name} (${prediction.bound})`;
      console.log(
        [
          architecture.padEnd(8),
          kernel.padEnd(10),
          String(row.registers).padStart(4),
          String(row.spills).padStart(7),
          String(row.instructions).padStart(10),
          String(row.pipes.alu).padStart(5),
          String(row.pipes.fma).padStart(5),
          row.cycles.toFixed(2).padStart(11),
          ` ${words}`,
        ].join(' '),
      );
    }
  }
  return rows;
}

/** The kernel compiled with every addition on the multiply-add pipe; null without nvcc. */
function experiment(folder) {
  const output = join(folder, 'multiply.ptx');
  const made = run(nvcc, [
    '-std=c++17',
    '-arch=compute_75',
    '-O3',
    '-DVR_ADDS_BY_MULTIPLY',
    '-ptx',
    source,
    '-o',
    output,
  ]);
  return made.status === 0 ? readFileSync(output, 'utf8') : null;
}

const known = knownArchitectures();
if (known.length === 0) {
  console.error('cuda:report needs ptxas (CUDA toolkit); neither a GPU nor a driver is needed');
  process.exit(3);
}
const folder = mkdtempSync(join(tmpdir(), 'vram-residency-'));
try {
  console.log(run(ptxas, ['--version']).stdout.trim().split('\n').at(-2));
  console.log('All throughput is *predicted* by arithmetic, not measured:');
  console.log(
    `  cycles/64B = max(ALU / ${PIPES.alu}, FMA / ${PIPES.fma}, all / ${PIPES.issue}) lanes a cycle and multiprocessor`,
  );
  console.log(
    `  GB/s = multiprocessors x boost GHz x 64 / cycles x ${CHUNKS}/${CHUNKS + 1} (padding round), at most the memory bandwidth`,
  );
  console.log(
    'Boards: published multiprocessors, boost clock and bandwidth. Real clocks under this load may be lower.',
  );
  const rows = table('cuda/vram.ptx, as shipped', readFileSync(shipped, 'utf8'), folder, known);
  const leaves = rows.find((row) => row.architecture === 'sm_90' && row.kernel === 'vr_leaves');
  if (leaves !== undefined) console.log(`\nvr_leaves on sm_90, one turn of the loop: ${leaves.mix}`);
  if (!process.argv.includes('--check')) {
    const ptx = experiment(folder);
    if (ptx !== null)
      table(
        'Experiment: every addition as multiply-add (VR_ADDS_BY_MULTIPLY; does not ship)',
        ptx,
        folder,
        known,
      );
  }
  const missed = rows.filter(
    (row) =>
      row.spills !== 0 ||
      (row.kernel === 'vr_leaves' &&
        TARGET.architectures.includes(row.architecture) &&
        !(row.instructions <= TARGET.instructions)),
  );
  const targets = `no spills; at most ${TARGET.instructions} instructions per 64 bytes in vr_leaves on ${TARGET.architectures.join(', ')}`;
  console.log(`\nTargets (${targets}): ${missed.length === 0 ? 'met' : 'MISSED'}`);
  for (const row of missed)
    console.log(
      `  ${row.architecture} ${row.kernel}: ${row.instructions} instructions, ${row.spills} bytes spilled`,
    );
  if (missed.length > 0) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

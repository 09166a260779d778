// Reports what ptxas generates from cuda/vram.ptx and its variants, for every architecture it knows: registers, spills,
// machine instructions per 64 bytes hashed, and the throughput these predict. Nothing is measured: no GPU is involved. The
// exit code is 1 if the shipped kernels miss a target; `--check` leaves out the variants.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { measure } from './cuda-machine-code.mjs';
import { knownArchitectures, ptxas } from './ptxas-architectures.mjs';

const cuda = new URL('../cuda/', import.meta.url);
const read = (path) => readFileSync(new URL(path, cuda), 'utf8');

/** At most this many machine instructions per 64 bytes, on these; no spills anywhere. */
const TARGET = { instructions: 1430, architectures: ['sm_80', 'sm_90'] };
/** SHA-256 of 4096 bytes takes 65 rounds of 64 bytes: the last is padding alone, with a schedule of constants. */
const CHUNKS = 64;

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

/** Cycles that a multiprocessor needs for 64 bytes of one block: of the busiest of its pipes, or of issuing. */
const cyclesOf = ({ pipes, instructions }) =>
  Math.max(pipes.alu / PIPES.alu, pipes.fma / PIPES.fma, instructions / PIPES.issue);

/** GB/s, by arithmetic: bytes per cycle of all multiprocessors, less the padding round, capped by memory. */
function predict(cycles, { multiprocessors, clock, bandwidth }) {
  const hashed = ((multiprocessors * clock * 64) / cycles) * (CHUNKS / (CHUNKS + 1));
  return { value: Math.min(hashed, bandwidth), bound: hashed > bandwidth ? 'memory' : 'arithmetic' };
}

/** Prints a line for each architecture and kernel (`{ name, label, ptx, blocksPerThread }`); the counts. */
function table(title, architectures, kernels, folder) {
  console.log(`\n${title}`);
  console.log(
    'arch     kernel             regs  shared  spills  instr/64B   ALU   FMA  cycles/64B  predicted',
  );
  const rows = [];
  for (const architecture of architectures) {
    for (const { name, label = name, ptx, blocksPerThread } of kernels) {
      const row = { architecture, name, ...measure(ptx, architecture, name, folder, blocksPerThread) };
      rows.push(row);
      const cycles = cyclesOf(row);
      const board = BOARDS.get(architecture);
      const prediction = board === undefined || name !== 'vr_leaves' ? null : predict(cycles, board);
      const words =
        prediction === null
          ? ''
          : `${prediction.value.toFixed(0)} GB/s on ${board.name} (${prediction.bound})`;
      console.log(
        [
          architecture.padEnd(8),
          label.padEnd(18),
          String(row.registers).padStart(4),
          String(row.shared).padStart(7),
          String(row.spills).padStart(7),
          String(row.instructions).padStart(10),
          String(row.pipes.alu).padStart(5),
          String(row.pipes.fma).padStart(5),
          cycles.toFixed(2).padStart(11),
          ` ${words}`,
        ].join(' '),
      );
    }
  }
  return rows;
}

/** The shipped kernels, and whether they meet their targets. */
function reportShipped(known, folder) {
  const ptx = read('vram.ptx');
  const kernels = ['vr_leaves', 'vr_nodes'].map((name) => ({ name, ptx }));
  const rows = table('cuda/vram.ptx, as shipped', known, kernels, folder);
  const leaves = rows.find((row) => row.architecture === 'sm_90' && row.name === 'vr_leaves');
  if (leaves !== undefined) console.log(`\nvr_leaves on sm_90, one turn of the loop: ${leaves.mix}`);
  const missed = rows.filter(
    (row) =>
      row.spills !== 0 ||
      (row.name === 'vr_leaves' &&
        TARGET.architectures.includes(row.architecture) &&
        !(row.instructions <= TARGET.instructions)),
  );
  const targets =
    `no spills; at most ${TARGET.instructions} instructions per 64 bytes in vr_leaves on ` +
    `${TARGET.architectures.join(', ')}`;
  console.log(`\nTargets (${targets}): ${missed.length === 0 ? 'met' : 'MISSED'}`);
  for (const row of missed)
    console.log(
      `  ${row.architecture} ${row.name}: ${row.instructions} instructions, ${row.spills} bytes spilled`,
    );
  if (missed.length > 0) process.exitCode = 1;
}

function reportVariants(known, folder) {
  const kernels = JSON.parse(read('variants/variants.json')).map(({ name, file, blocksPerThread }) => ({
    name: 'vr_leaves',
    label: name,
    ptx: read(`variants/${file}`),
    blocksPerThread,
  }));
  const title =
    'cuda/variants, vr_leaves, 64 bytes of one block; none of them ships. The predictions know nothing of latency and ' +
    'loads.';
  table(title, known, kernels, folder);
}

const known = knownArchitectures();
if (known.length === 0) {
  console.error('cuda:report needs ptxas (CUDA toolkit); neither a GPU nor a driver is needed');
  process.exit(3);
}
const folder = mkdtempSync(join(tmpdir(), 'vram-residency-'));
try {
  console.log(spawnSync(ptxas, ['--version'], { encoding: 'utf8' }).stdout.trim().split('\n').at(-2));
  console.log('All throughput is *predicted* by arithmetic, not measured:');
  console.log(
    `  cycles/64B = max(ALU / ${PIPES.alu}, FMA / ${PIPES.fma}, all / ${PIPES.issue}) lanes a cycle and multiprocessor`,
  );
  console.log(
    `  GB/s = multiprocessors x boost GHz x 64 / cycles x ${CHUNKS}/${CHUNKS + 1} (padding round), at most the memory ` +
      `bandwidth`,
  );
  console.log(
    'Boards: published multiprocessors, boost clock and bandwidth. Real clocks under this load may be lower.',
  );
  reportShipped(known, folder);
  if (!process.argv.includes('--check')) reportVariants(known, folder);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

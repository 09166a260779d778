import { execPath } from 'node:process';
import type { Figure } from '../runner/report.js';
import { Failure, kitPath, Skip, type StepContext } from './context.js';
import { endInWords, isAbsent, type ProgramResult, runProgram } from './program.js';

/**
 * Pipe utilisation, memory throughput, registers: they show whether the kernel is bound by what the arithmetic predicts.
 */
const METRICS = [
  'gpu__time_duration.sum',
  'sm__inst_executed_pipe_alu.avg.pct_of_peak_sustained_active',
  'sm__inst_executed_pipe_fma.avg.pct_of_peak_sustained_active',
  'sm__inst_issued.avg.pct_of_peak_sustained_active',
  'sm__warps_active.avg.pct_of_peak_sustained_active',
  'dram__bytes_read.sum.per_second',
  'l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum',
  'launch__registers_per_thread',
];
/** Opening launches the kernel on small inputs first; this many launches reach a large one. */
const LAUNCHES = 40;

/** Profiles the leaf kernel with Nsight Compute. */
export async function profile(context: StepContext): Promise<void> {
  const run = await ncu([
    '--csv',
    '--page=raw',
    '--kernel-name=vr_leaves',
    `--launch-count=${LAUNCHES}`,
    `--metrics=${METRICS.join(',')}`,
    ...[execPath, kitPath('steps.mjs'), '--verify', String(context.setting.device)],
  ]);
  if (`${run.stdout}${run.stderr}`.includes('ERR_NVGPUCTRPERM')) {
    throw new Skip('the driver lets only root read performance counters (ERR_NVGPUCTRPERM)');
  }
  if (run.code !== 0) throw new Failure(`ncu ended with ${endInWords(run)}`);
  const last = parseLast(run.stdout);
  if (last === null) throw new Failure('ncu printed no row for vr_leaves');
  context.figure('metrics', last);
}

async function ncu(args: readonly string[]): Promise<ProgramResult> {
  try {
    return await runProgram('ncu', args);
  } catch (error) {
    if (isAbsent(error)) throw new Skip('ncu (Nsight Compute) is not here');
    throw error;
  }
}

/**
 * The metrics of the last launch, by name, each as `value unit`. The table's first line has the names, the second the
 * units.
 */
function parseLast(csv: string): Figure | null {
  const rows = csv
    .split('\n')
    .filter((line) => line.startsWith('"'))
    .map((line) => [...line.matchAll(/"([^"]*)"/g)].map(([, cell = '']) => cell));
  const [names, units] = rows;
  const last = rows.at(-1);
  if (names === undefined || units === undefined || last === undefined || rows.length < 3) return null;
  const profiled = names.flatMap((name, i) =>
    METRICS.includes(name) ? [[name, `${last[i]} ${units[i]}`.trim()] as const] : [],
  );
  return profiled.length === 0 ? null : Object.fromEntries(profiled);
}

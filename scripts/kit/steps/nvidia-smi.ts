import { spawn } from 'node:child_process';
import { median } from '../../../src/cli/bench/measure.js';
import { isAbsent, runProgram } from './program.js';

const QUERY = [
  'name',
  'driver_version',
  'clocks.sm',
  'clocks.mem',
  'clocks.max.sm',
  'power.draw',
  'temperature.gpu',
] as const;
type Column = (typeof QUERY)[number];

/** What nvidia-smi reports for one GPU; a column that it cannot fill is absent. */
export type SmiRow = Readonly<Partial<Record<Column, string>>>;

function queryArguments(gpu: string): string[] {
  return [`--query-gpu=${QUERY.join(',')}`, '--format=csv,noheader,nounits', `--id=${gpu}`];
}

function parseRow(line: string): SmiRow {
  const cells = line.split(',').map((cell) => cell.trim());
  const row: Partial<Record<Column, string>> = {};
  for (const [i, column] of QUERY.entries()) {
    const cell = cells[i];
    if (cell !== undefined && cell !== '' && !/^\[?(N\/A|Not Supported|Unknown Error)/i.test(cell))
      row[column] = cell;
  }
  return row;
}

/** Queries the GPU with this UUID once; null if nvidia-smi is missing or does not know the GPU. */
export async function askNvidiaSmi(uuid: string): Promise<SmiRow | null> {
  try {
    const { code, stdout } = await runProgram('nvidia-smi', queryArguments(uuid));
    const line = stdout.trim().split('\n')[0];
    return code === 0 && line !== undefined && line !== '' ? parseRow(line) : null;
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
}

export interface ClockSamples {
  /** Medians over the samples; null if there was none. MHz, watts. */
  readonly smMHz: number | null;
  readonly memoryMHz: number | null;
  readonly watts: number | null;
  readonly samples: number;
}

/** Samples the GPU's clocks every 100 ms while `work` runs. */
export async function withClocks(uuid: string | null, work: () => Promise<void>): Promise<ClockSamples> {
  const rows: SmiRow[] = [];
  let sampler: ReturnType<typeof startSampler> | null = null;
  if (uuid !== null) sampler = startSampler(uuid, (row) => rows.push(row));
  try {
    await work();
  } finally {
    await sampler?.stop();
  }
  const of = (column: Column): number | null => {
    const values = rows.map((row) => Number(row[column])).filter(Number.isFinite);
    return values.length === 0 ? null : median(values);
  };
  return {
    smMHz: of('clocks.sm'),
    memoryMHz: of('clocks.mem'),
    watts: of('power.draw'),
    samples: rows.length,
  };
}

function startSampler(uuid: string, onRow: (row: SmiRow) => void): { stop(): Promise<void> } {
  const child = spawn('nvidia-smi', [...queryArguments(uuid), '--loop-ms=100'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = `${rest}${text}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') onRow(parseRow(line));
  });
  // Without nvidia-smi there are no samples; the figures show that.
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('close', () => resolve());
  });
  return {
    stop: async () => {
      child.kill();
      await ended;
    },
  };
}

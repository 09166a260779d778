import { parseArgs } from 'node:util';
import { PLAN, type StepPlan } from './plan.js';

export interface Arguments {
  readonly quick: boolean;
  /** Bound on the whole run. */
  readonly seconds: number;
  /** As given; null for a folder named after the time. */
  readonly out: string | null;
  /** Index of the CUDA device. */
  readonly device: number;
  readonly steps: readonly StepPlan[];
  readonly emulated: boolean;
}

/** Seconds that a run may take by default. */
const SECONDS = { quick: 150, whole: 355, emulated: 900 } as const;
const MAX_SECONDS = 86_400;

/** A command line that cannot be carried out; its message is for the person who wrote it. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Errors: UsageError, naming the option. */
export function readArguments(args: readonly string[]): Arguments {
  let values: ReturnType<typeof parse>;
  try {
    values = parse(args);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  const { quick = false, emulated = false, seconds, out, device = 'cuda:0', steps } = values;
  return {
    quick,
    emulated,
    seconds: readSeconds(seconds, quick, emulated),
    out: out ?? null,
    device: readDevice(device),
    steps: readSteps(steps, quick),
  };
}

/** The soft share of a step's time under a shorter or longer run: `--seconds` scales every sweep. */
export function budgetScale({ quick, seconds, emulated }: Arguments): number {
  if (emulated) return 1;
  return Math.min(4, seconds / (quick ? SECONDS.quick : SECONDS.whole));
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    strict: true,
    allowPositionals: false,
    options: {
      quick: { type: 'boolean' },
      emulated: { type: 'boolean' },
      seconds: { type: 'string' },
      out: { type: 'string' },
      device: { type: 'string' },
      steps: { type: 'string' },
    },
  }).values;
}

function readSeconds(text: string | undefined, quick: boolean, emulated: boolean): number {
  if (text === undefined) return emulated ? SECONDS.emulated : quick ? SECONDS.quick : SECONDS.whole;
  const seconds = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (seconds < 1 || seconds > MAX_SECONDS) {
    throw new UsageError(`--seconds must be a whole number from 1 to ${MAX_SECONDS}, got "${text}"`);
  }
  return seconds;
}

function readDevice(text: string): number {
  const index = /^cuda:(\d{1,4})$/.exec(text)?.[1];
  if (index === undefined) throw new UsageError(`--device must be cuda:N, got "${text}"`);
  return Number(index);
}

function readSteps(text: string | undefined, quick: boolean): readonly StepPlan[] {
  if (text === undefined) return quick ? PLAN.filter((step) => step.quick) : PLAN;
  const names = text.split(',');
  const unknown = names.find((name) => !PLAN.some((step) => step.name === name));
  if (unknown !== undefined) {
    throw new UsageError(
      `--steps: there is no step "${unknown}"; steps: ${PLAN.map(({ name }) => name).join(', ')}`,
    );
  }
  // In the kit's own order, not the order of the command line: the first step finds out whether the rest have a GPU.
  return PLAN.filter(({ name }, i) => i === 0 || names.includes(name));
}

import type { Figures } from './report.js';

/**
 * What a step's process writes into its result file, again whenever figures come in: a step that is killed leaves
 * the figures it had.
 */
export interface StepResult {
  /** `running` until the step has ended. */
  readonly status: 'running' | 'passed' | 'failed' | 'skipped';
  readonly reason: string | null;
  readonly figures: Figures;
  /** This machine has no GPU that any step could use: the run ends. */
  readonly unusable: boolean;
}

export const NOTHING: StepResult = { status: 'running', reason: null, figures: {}, unusable: false };

/** Reads a result file's text. Throws on anything that a step does not write. */
export function parseStepResult(text: string): StepResult {
  const value: unknown = JSON.parse(text);
  if (!isRecord(value)) throw new Error('the step left a result that is not an object');
  const { status, reason, figures, unusable } = value;
  const known = (['running', 'passed', 'failed', 'skipped'] as const).find((one) => one === status);
  if (
    known === undefined ||
    !(typeof reason === 'string' || reason === null) ||
    !isRecord(figures) ||
    typeof unusable !== 'boolean'
  ) {
    throw new Error('the step left a result of another form');
  }
  // JSON.parse returns JSON values only.
  return { status: known, reason, figures: figures as Figures, unusable };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

import { invalidInput } from '../../base/index.js';

const VARIABLE = 'VRAM_RESIDENCY_FORCE_HOST';
const YES = ['1', 'true', 'yes'];
const NO = ['', '0', 'false', 'no'];

/**
 * Whether `VRAM_RESIDENCY_FORCE_HOST` asks for mock mode, the host device alone: 1, true or yes; not 0, false, no, nor
 * where it is empty or not set. Any other value is refused, so that a misspelling does not silently disable the mode.
 * Errors: INVALID_INPUT.
 */
export function hostIsForced(env: Readonly<Record<string, string | undefined>>): boolean {
  const value = env[VARIABLE] ?? '';
  const word = value.toLowerCase();
  if (YES.includes(word)) return true;
  if (NO.includes(word)) return false;
  throw invalidInput(VARIABLE, `must be 1, true, yes, 0, false or no, got ${JSON.stringify(value)}`);
}

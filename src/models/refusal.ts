import { invalidInput, type VramError } from '../base/index.js';

/** Makes the error for one problem of the file that is being read: INVALID_INPUT naming the file. */
export type Refuse = (problem: string) => VramError;

export function refusalOf(what: string): Refuse {
  return (problem) => invalidInput(what, problem);
}

const MAX_QUOTED = 80;

/** A name found in a file, made safe for a message. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > MAX_QUOTED ? `${name.slice(0, MAX_QUOTED)}…` : name);
}

/** A tensor, for a message; its name may not be known yet. */
export function tensorCalled(name: string): string {
  return name === '' ? 'a tensor' : `the tensor ${quoted(name)}`;
}

import { isVramError, type VramError, visibleJson } from '../base/index.js';
import { escapeForTerminal } from './text.js';

/** `{code, message}` as JSON documents carry it. */
export interface ErrorJson {
  readonly code: string;
  readonly message: string;
}

/** Words one of the library's errors for people. */
type Wording = (error: VramError) => string;

const asItIs: Wording = ({ message }) => message;

/** The one-line form of any error. Only the library's own messages are shown: others may hold anything. */
export function errorLine(error: unknown, file?: string, wording: Wording = asItIs): string {
  const where = file === undefined ? '' : `${escapeForTerminal(file)}: `;
  if (isVramError(error)) return `error: ${where}${escapeForTerminal(wording(error))} [${error.code}]\n`;
  const name = error instanceof Error ? error.name : typeof error;
  const message = error instanceof Error ? `: ${error.message.split('\n')[0] ?? ''}` : '';
  return `internal error: ${where}${escapeForTerminal(`${name}${message}`)}\n`;
}

export function errorJson(error: unknown, wording: Wording = asItIs): ErrorJson {
  if (isVramError(error)) return { code: error.code, message: wording(error) };
  return { code: 'INTERNAL', message: error instanceof Error ? error.message : 'unknown failure' };
}

/** The one document of `--json`. */
export function jsonDocument(value: unknown): string {
  return `${visibleJson(JSON.stringify(value, null, 2))}\n`;
}

/** A value as a part of a document, or as a line of NDJSON without its end. */
export function jsonLine(value: unknown): string {
  return visibleJson(JSON.stringify(value));
}

import { isVramError } from '../../errors.js';
import { escapeForTerminal } from './text.js';

/** The one-line form of any error. Only the library's own messages are shown: others may hold anything. */
export function errorLine(error: unknown, file?: string): string {
  const where = file === undefined ? '' : `${escapeForTerminal(file)}: `;
  if (isVramError(error)) return `error: ${where}${escapeForTerminal(error.message)} [${error.code}]\n`;
  const name = error instanceof Error ? error.name : typeof error;
  const message = error instanceof Error ? `: ${error.message.split('\n')[0] ?? ''}` : '';
  return `internal error: ${where}${escapeForTerminal(`${name}${message}`)}\n`;
}

/** `{code, message}` as JSON documents carry it. */
export function errorJson(error: unknown): { readonly code: string; readonly message: string } {
  if (isVramError(error)) return { code: error.code, message: error.message };
  return { code: 'INTERNAL', message: error instanceof Error ? error.message : 'unknown failure' };
}

/** The one document of `--json`. */
export function jsonDocument(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

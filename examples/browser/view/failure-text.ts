import { Refusal } from '../client.js';

/** An error as a sentence, with the library's code if it has one. */
export function failureText(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof Refusal && error.code !== null ? ` (${error.code})` : '';
  return `${sentence(message)}${code}`;
}

/** The library's messages begin small, as they follow a code. */
export function sentence(message: string): string {
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
}

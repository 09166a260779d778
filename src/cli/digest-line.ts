import { escapeForTerminal } from './text.js';

const NEEDS_ESCAPE = /[\\\n\r]/g;
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r' };

/**
 * A digest and a name as sha256sum writes them, which `--expect` reads back whatever the name is: one with a backslash or a
 * line break has escapes, and a backslash before the digest.
 */
export function digestLine(digest: string, name: string): string {
  const escaped = name.replace(NEEDS_ESCAPE, (character) => ESCAPES[character] ?? character);
  return `${escaped === name ? '' : '\\'}${digest}  ${escaped}\n`;
}

/** The same for people; `altered` if a name has characters that a terminal would not show, so that nothing reads it back. */
export function digestLineForTerminal(
  digest: string,
  name: string,
): { readonly line: string; readonly altered: boolean } {
  const shown = escapeForTerminal(name);
  return { line: `${digest}  ${shown}\n`, altered: shown !== name };
}

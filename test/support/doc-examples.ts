import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** A program that a document shows. */
export interface DocExample {
  /** The document, from the root, and the line on which the program begins. */
  readonly name: string;
  readonly code: string;
  /** Uses what only pages have. */
  readonly forPages: boolean;
}

/** The JavaScript programs of a document, in its order. */
export function examplesOf(path: string): DocExample[] {
  const text = readFileSync(root + path, 'utf8');
  return [...text.matchAll(/^```(?:js|ts)\n([\s\S]*?)^```$/gm)].map((found) => {
    const [, code = ''] = found;
    const line = text.slice(0, found.index).split('\n').length + 1;
    return { name: `${path}:${line}`, code, forPages: code.includes('document.') };
  });
}

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** A program that a document shows. */
export interface DocExample {
  /** The document, from the root, and the line on which the program begins. */
  readonly name: string;
  readonly code: string;
  /** Uses what only pages, or their workers, have. */
  readonly forPages: boolean;
}

/** Every document that people read, from the root. */
export function documentPaths(): string[] {
  const folders = ['docs', 'docs/decisions'];
  const inFolders = folders.flatMap((folder) =>
    readdirSync(root + folder)
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`),
  );
  return ['README.md', 'SECURITY.md', 'clients/python/README.md', ...inFolders];
}

const COMMAND =
  /^(?: {4})((?:npx|npm|node|pip|python3?|vram-residency|curl|scp|ssh|run\.sh|[A-Z_]+=|\(umask).*)$/gm;

/** A command that a document shows, in a block of `sh` or of four spaces; comments behind it left out. */
export interface DocCommand {
  readonly path: string;
  readonly command: string;
}

/** The commands of a document, in its order. */
export function commandsOf(path: string): DocCommand[] {
  const text = readFileSync(root + path, 'utf8')
    .replace(/^```sh\n([\s\S]*?)^```$/gm, (_, lines: string) => lines.replace(/^/gm, '    '))
    .replace(/^```\w*\n[\s\S]*?^```$/gm, '');
  return [...text.matchAll(COMMAND)].map(([, line = '']) => ({
    path,
    command: line
      .replace(/ {2,}#.*$/, '')
      .replace(/ {3,}#?\S.*$/, '')
      .trim(),
  }));
}

/** The JavaScript programs of a document, in its order. */
export function examplesOf(path: string): DocExample[] {
  const text = readFileSync(root + path, 'utf8');
  return [...text.matchAll(/^```(?:js|ts)\n([\s\S]*?)^```$/gm)].map((found) => {
    const [, code = ''] = found;
    const line = text.slice(0, found.index).split('\n').length + 1;
    return { name: `${path}:${line}`, code, forPages: /document\.|vram-residency\/browser/.test(code) };
  });
}

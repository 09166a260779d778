// npm run lint: no line of code is longer than 125 columns, comments and texts too. Files that had longer ones when the
// rule began may keep as many as test/long-lines.json says, and no more; one that has fewer has its number lowered.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const MOST_COLUMNS = 125;
const CODE = /\.(?:ts|mjs|js|cc|h|cu|cuh|wgsl|py)$/;
/** Made by the build. */
const MADE = /^src\/generated\//;

const root = fileURLToPath(new URL('..', import.meta.url));

/** Columns as an editor counts them: a character outside the first plane is one. */
function isLong(line) {
  return line.length > MOST_COLUMNS && [...line].length > MOST_COLUMNS;
}

/**
 * What is wrong with a file: the numbers of its long lines, counted from 1, against how many it may keep. Null if nothing
 * is.
 */
export function fault(file, text, allowed = 0) {
  const long = text.split('\n').flatMap((line, index) => (isLong(line) ? [index + 1] : []));
  if (long.length > allowed) {
    const may = allowed === 0 ? '' : `; it may keep ${allowed}`;
    return `${file}: longer than ${MOST_COLUMNS} columns: line ${long.join(', ')}${may}`;
  }
  return long.length < allowed ? `${file}: has ${long.length} long lines: lower its ${allowed}` : null;
}

function main() {
  const kept = JSON.parse(readFileSync(`${root}test/long-lines.json`, 'utf8'));
  const listed = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' });
  const files = listed
    .split('\0')
    .filter((file) => CODE.test(file) && !MADE.test(file) && existsSync(root + file));
  const faults = files.flatMap((file) => fault(file, readFileSync(root + file, 'utf8'), kept[file]) ?? []);
  const gone = Object.keys(kept).filter((file) => !files.includes(file));
  faults.push(...gone.map((file) => `${file}: is not there any more: take it out of test/long-lines.json`));
  for (const one of faults) console.error(one);
  return faults.length === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exit(main());

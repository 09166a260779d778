// npm run lint: no line of code is longer than 125 columns, comments and texts too. A line that holds a word of more than
// 90 columns, such as a regular expression or a digest, cannot be broken and is exempt.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const MOST_COLUMNS = 125;
const UNBREAKABLE = /\S{91}/u;
const CODE = /\.(?:ts|mjs|js|cc|h|cu|cuh|wgsl|py)$/;
/** Made by the build. */
const MADE = /^src\/generated\//;

const root = fileURLToPath(new URL('..', import.meta.url));

/** Columns as an editor counts them: a character outside the first plane is one. */
function isLong(line) {
  return line.length > MOST_COLUMNS && [...line].length > MOST_COLUMNS && !UNBREAKABLE.test(line);
}

/** The numbers of a file's long lines, counted from 1, in a sentence; null if there are none. */
export function fault(file, text) {
  const long = text.split('\n').flatMap((line, index) => (isLong(line) ? [index + 1] : []));
  return long.length === 0 ? null : `${file}: longer than ${MOST_COLUMNS} columns: line ${long.join(', ')}`;
}

function main() {
  const listed = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' });
  const files = listed
    .split('\0')
    .filter((file) => CODE.test(file) && !MADE.test(file) && existsSync(root + file));
  const faults = files.flatMap((file) => fault(file, readFileSync(root + file, 'utf8')) ?? []);
  for (const one of faults) console.error(one);
  return faults.length === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exit(main());

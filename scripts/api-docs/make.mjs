// node scripts/api-docs/make.mjs [--check]: writes docs/api from the entries' types and docstrings. With --check it writes
// nothing and fails if docs/api is not what it would write. TypeDoc and the TypeScript that it needs are installed in this
// folder alone, when they are not there yet.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const target = fileURLToPath(new URL('../../docs/api', import.meta.url));
const packages = ['typedoc', 'typedoc-plugin-markdown', 'typescript'];

function installed() {
  const { devDependencies } = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'));
  return packages.every((name) => {
    const path = join(here, 'node_modules', name, 'package.json');
    return existsSync(path) && JSON.parse(readFileSync(path, 'utf8')).version === devDependencies[name];
  });
}

function files(folder) {
  if (!existsSync(folder)) return new Map();
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return new Map(
    entries.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path.slice(folder.length + 1), readFileSync(path, 'utf8')];
    }),
  );
}

/** Names of files that are in one folder alone, or differ. */
function differences(one, other) {
  const names = new Set([...one.keys(), ...other.keys()]);
  return [...names].filter((name) => one.get(name) !== other.get(name)).sort();
}

const check = process.argv.includes('--check');
if (!installed())
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: here,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
const made = mkdtempSync(join(tmpdir(), 'api-docs-'));
try {
  const typedoc = join(here, 'node_modules/typedoc/bin/typedoc');
  const run = spawnSync(process.execPath, [typedoc, '--options', join(here, 'typedoc.json'), '--out', made], {
    cwd: here,
    encoding: 'utf8',
  });
  if (run.error !== undefined) throw run.error;
  if (run.status !== 0) {
    console.error(run.stdout + run.stderr);
    process.exitCode = 1;
  } else if (check) {
    const stale = differences(files(target), files(made));
    for (const name of stale) console.error(`docs/api/${name} is stale: run node scripts/api-docs/make.mjs`);
    if (stale.length > 0) process.exitCode = 1;
    else console.log('docs/api is current');
  } else {
    rmSync(target, { recursive: true, force: true });
    cpSync(made, target, { recursive: true });
    console.log(`docs/api: ${files(target).size} files`);
  }
} finally {
  rmSync(made, { recursive: true, force: true });
}

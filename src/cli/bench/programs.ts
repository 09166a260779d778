import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execPath } from 'node:process';
import { pathToFileURL } from 'node:url';
import { measurePair, type Pair, type Timed } from './measure.js';
import type { BenchSetting } from './setting.js';

const MIB = 1024 * 1024;
/** More rounds than for long runs, because a start takes a tenth of a second. */
const ROUNDS_A_PAIR = 7;

/** Installed programs that hash a file, with their arguments. */
const HASHERS: readonly (readonly [string, readonly string[]])[] = [
  ['fsverity', ['digest']],
  ['sha256sum', []],
  ['openssl', ['dgst', '-sha256']],
];

/** Whole processes, including their start, of ours against others. */
export async function* programPairs(setting: BenchSetting, file: string): AsyncGenerator<Pair> {
  const rounds = Math.min(setting.rounds, ROUNDS_A_PAIR);
  const node = (name: string, args: readonly string[]): Timed => ({
    name,
    run: () => runProgram(execPath, args, setting.signal),
  });
  const digest = node(`vram-residency digest, ${setting.fileBytes / MIB} MiB file, whole process`, [
    setting.main,
    'digest',
    file,
  ]);
  for (const [command, args] of HASHERS) {
    const run = () => runProgram(command, [...args, file], setting.signal);
    if (!(await isInstalled(run))) continue;
    yield await measurePair(
      `digest-${command}`,
      digest,
      { name: `${command} (program)`, run },
      rounds,
      setting.signal,
    );
  }
  const empty = node('an empty Node program', ['--input-type=module', '-e', '0']);
  const library = pathToFileURL(libraryBeside(setting.main)).href;
  const starts: readonly (readonly [string, Timed])[] = [
    [
      'start-import',
      node('import of the library', ['--input-type=module', '-e', `import ${JSON.stringify(library)}`]),
    ],
    ['start-help', node('vram-residency --help', [setting.main, '--help'])],
  ];
  for (const [id, ours] of starts) yield await measurePair(id, ours, empty, rounds, setting.signal);
}

/** The library's entry for Node: beside the program in the package, above it among the modules. */
function libraryBeside(main: string): string {
  const beside = join(dirname(main), 'index.js');
  return existsSync(beside) ? beside : join(dirname(main), '..', 'index.js');
}

async function runProgram(command: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  const child = spawn(command, args, { stdio: 'ignore', signal });
  await new Promise<void>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`${command} ended with ${code}`)),
    );
  });
}

async function isInstalled(run: () => Promise<unknown>): Promise<boolean> {
  try {
    await run();
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EACCES'))
      return false;
    throw error;
  }
}

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { arch, env, execPath, platform } from 'node:process';
import { fileURLToPath } from 'node:url';
import type { ReportLine } from '../../scripts/kit/runner/report.js';
import { cudaTestbed } from './cuda.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
/** All that a target machine has to bring, beside bash. */
const TOOLS = ['bash', 'dirname', 'tar', 'gzip', 'sha256sum', 'mktemp', 'mkdir', 'rm', 'uname'];
export const KIT_FILES = ['run.sh', 'MANIFEST', 'vram-residency-kit.tar.gz'] as const;

/** Null where the kit can be made, else the reason why not. */
export async function kitMissing(): Promise<string | null> {
  if (platform !== 'linux' || arch !== 'x64')
    return `the kit is made on linux-x64, this is ${platform}-${arch}`;
  return (await cudaTestbed()).missing;
}

/** A failure to bring about in one step; see scripts/kit/emulated.mjs. */
export interface Fault {
  readonly step: string;
  /** Of the test driver. */
  readonly settings?: object;
  /** Driver calls that fail: the n-th of that name, with that result. */
  readonly fail?: readonly (readonly [call: string, nth: number, result: number])[];
  readonly crash?: boolean;
  readonly hang?: boolean;
}

export interface RunOptions {
  readonly faults?: readonly Fault[];
  /** null: no --out is given. */
  readonly out?: string | null;
  /** Beside what a bare server has. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Told of everything that appears on stdout, as it appears. */
  readonly onLine?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
}

export interface KitRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Lines of report.ndjson; empty where there is none. */
  readonly lines: readonly ReportLine[];
  /** The folder of the report. */
  readonly out: string;
  /** What is left in the folder for temporary files. */
  readonly leftovers: readonly string[];
}

/** A kit in a folder of its own, and a PATH that has nothing but what a bare server has. */
export class Kit {
  readonly folder: string;
  readonly #work: string;
  readonly #bin: string;
  #runs = 0;

  private constructor(work: string) {
    this.#work = work;
    this.folder = join(work, 'kit');
    this.#bin = join(work, 'bin');
  }

  /** Makes the kit of what npm test has just built. */
  static make(): { readonly kit: Kit; readonly made: string } {
    mkdirSync(join(root, '.cache'), { recursive: true });
    const kit = new Kit(mkdtempSync(join(root, '.cache', 'kit-')));
    const made = spawnSync(execPath, [join(root, 'scripts/kit/make.mjs'), '--built', '--out', kit.folder], {
      encoding: 'utf8',
    });
    if (made.status !== 0) throw new Error(`the kit could not be made:\n${made.stdout}${made.stderr}`);
    kit.#makeBin();
    return { kit, made: made.stdout };
  }

  /** A second folder with the same files, to be spoiled. */
  copy(): string {
    const folder = mkdtempSync(join(this.#work, 'copy-'));
    for (const file of KIT_FILES) copyFileSync(join(this.folder, file), join(folder, file));
    return folder;
  }

  /** Runs run.sh in an empty folder. `faults` is for emulated.mjs. */
  run(args: readonly string[], options: RunOptions & { readonly folder?: string } = {}): Promise<KitRun> {
    const { folder = this.folder, ...rest } = options;
    return this.#start([join(folder, 'run.sh')], args, rest);
  }

  /** The runner alone, as run.sh starts it, in a kit that is unpacked once: for what run.sh has no part in. */
  runUnpacked(args: readonly string[], options: RunOptions = {}): Promise<KitRun> {
    const unpacked = join(this.#work, 'unpacked');
    if (!existsSync(unpacked)) {
      mkdirSync(unpacked);
      execFileSync('tar', ['-xzf', join(this.folder, 'vram-residency-kit.tar.gz'), '-C', unpacked]);
    }
    return this.#start([join(unpacked, 'node/bin/node'), join(unpacked, 'kit/main.mjs')], args, options);
  }

  async #start(
    [command = '', ...first]: readonly string[],
    args: readonly string[],
    { faults, out = this.#newOut(), onLine, environment = {} }: RunOptions,
  ): Promise<KitRun> {
    const own = mkdtempSync(join(this.#work, 'run-'));
    const temporary = join(own, 'tmp');
    mkdirSync(temporary);
    const child = spawn(command, [...first, ...args, ...(out === null ? [] : ['--out', out])], {
      cwd: own,
      env: {
        ...environment,
        PATH: this.#bin,
        TMPDIR: temporary,
        VRAM_KIT_WORK: temporary,
        ...(faults === undefined ? {} : { VRAM_KIT_FAULTS: JSON.stringify(faults) }),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      onLine?.(text, (signal) => child.kill(signal));
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    return {
      code,
      stdout,
      stderr,
      lines: readLines(out ?? ''),
      out: out ?? own,
      leftovers: readdirSync(temporary),
    };
  }

  remove(): void {
    rmSync(this.#work, { recursive: true, force: true });
  }

  #newOut(): string {
    this.#runs += 1;
    return join(this.#work, `report-${this.#runs}`);
  }

  #makeBin(): void {
    mkdirSync(this.#bin);
    for (const tool of TOOLS) {
      const found = (env['PATH'] ?? '').split(':').find((folder) => existsSync(join(folder, tool)));
      if (found === undefined) throw new Error(`${tool} is not on this machine`);
      symlinkSync(join(found, tool), join(this.#bin, tool));
    }
  }
}

function readLines(out: string): ReportLine[] {
  const path = join(out, 'report.ndjson');
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ReportLine);
}

import { renameSync, writeFileSync } from 'node:fs';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { nodeCudaBackend } from '../../../src/node/devices/cuda/backend.js';
import type { Figure, Figures } from '../runner/report.js';
import type { StepResult } from '../runner/step-result.js';
import type { StepSetting } from '../runner/step-setting.js';
import { type ProgramResult, runProgram } from './program.js';

/** The step does not apply to this machine: reported as skipped, with the reason. */
export class Skip extends Error {
  override readonly name = 'Skip';
}

/** No step can run on this machine. */
export class Unusable extends Error {
  override readonly name = 'Unusable';
}

/** A check of the step failed. */
export class Failure extends Error {
  override readonly name = 'Failure';
}

const MIB = 2 ** 20;
/** The test driver's interpreter hashes some 100 MB a second. */
const EMULATED_MAX_BYTES = 4 * MIB;

/** What a step works with. */
export class StepContext {
  readonly setting: StepSetting;
  readonly #figures: Record<string, Figure> = {};
  readonly #started = performance.now();

  constructor(setting: StepSetting) {
    this.setting = setting;
    this.#write({ status: 'running', reason: null, unusable: false });
  }

  /** Saved at once, so that figures survive if the step is killed later. */
  figure(name: string, value: Figure): void {
    this.#figures[name] = value;
    this.#write({ status: 'running', reason: null, unusable: false });
  }

  /** The figures reported so far. */
  figures(): Figures {
    return this.#figures;
  }

  end(outcome: Omit<StepResult, 'figures'>): void {
    this.#write(outcome);
  }

  /** Milliseconds of the step's budget that are left; sweeps stop growing when it is used up. */
  budgetLeftMs(): number {
    return this.setting.budgetMs - (performance.now() - this.#started);
  }

  /** `bytes`, or less over the test driver. */
  affordable(bytes: number): number {
    return this.setting.emulated ? Math.min(bytes, EMULATED_MAX_BYTES) : bytes;
  }

  /** The CUDA backend that a user of the package gets. */
  backend() {
    return nodeCudaBackend();
  }

  deviceName(): string {
    return `cuda:${this.setting.device}`;
  }

  /** The policy that only the real driver's memory satisfies; with the test driver, any memory is accepted. */
  policy(): 'vram-only' | 'any' {
    return this.setting.emulated ? 'any' : 'vram-only';
  }

  /** Runs the package's command line in a separate process. */
  commandLine(args: readonly string[]): Promise<ProgramResult> {
    return runProgram(execPath, [kitPath('../dist/cli/main.js'), ...args]);
  }

  /** Runs another of the kit's own programs. */
  kitProgram(
    file: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<ProgramResult> {
    return runProgram(execPath, [kitPath(file), ...args], { ...process.env, ...env });
  }

  #write(outcome: Omit<StepResult, 'figures'>): void {
    const { resultFile } = this.setting;
    const result: StepResult = { ...outcome, figures: this.#figures };
    writeFileSync(`${resultFile}.new`, JSON.stringify(result));
    renameSync(`${resultFile}.new`, resultFile);
  }
}

/** A file of the kit, relative to the folder of its programs. */
export function kitPath(relative: string): string {
  return fileURLToPath(new URL(relative, import.meta.url));
}

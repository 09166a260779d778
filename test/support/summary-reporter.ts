import { stripVTControlCharacters } from 'node:util';
import type { Reporter, SerializedError, TestCase, TestModule } from 'vitest/node';
import { PROOF_GROUPS, placeTest } from './proof-groups.js';

interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

/** Lines of an error and its stack: enough to find the place. */
const MAX_ERROR_LINES = 40;
/** Files between two lines that say how far the run is. */
const FILES_A_LINE = 25;

/**
 * What `npm test` prints of a run: each failure when it happens and again in full at the end, every skip with its reason,
 * and the groups with their numbers. What tests write to the console is left out, unless the test failed.
 */
export default class SummaryReporter implements Reporter {
  readonly #console = new Map<string, string[]>();
  readonly #started = performance.now();
  #files = 0;
  #filesDone = 0;

  onTestRunStart(specifications: readonly unknown[]): void {
    this.#files = specifications.length;
  }

  onUserConsoleLog({ content, taskId }: { readonly content: string; readonly taskId?: string }): void {
    if (taskId === undefined) return;
    const lines = this.#console.get(taskId) ?? [];
    lines.push(content.trimEnd());
    this.#console.set(taskId, lines);
  }

  onTestModuleEnd(module: TestModule): void {
    this.#filesDone += 1;
    for (const test of module.children.allTests('failed')) this.#write(`FAILED  ${nameOf(test)}`);
    if (this.#filesDone % FILES_A_LINE !== 0 && this.#filesDone !== this.#files) return;
    const seconds = ((performance.now() - this.#started) / 1000).toFixed(0);
    this.#write(`${this.#filesDone} of ${this.#files} test files, ${seconds} s`);
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const ordered = [...modules].sort((a, b) => (a.relativeModuleId < b.relativeModuleId ? -1 : 1));
    const tests = ordered.flatMap((module) => [...module.children.allTests()]);
    this.#failures(ordered, tests, unhandled);
    this.#skips(tests);
    this.#groups(tests);
  }

  #write(line: string): void {
    process.stdout.write(`${line}\n`);
  }

  #failures(
    modules: readonly TestModule[],
    tests: readonly TestCase[],
    unhandled: readonly SerializedError[],
  ): void {
    for (const module of modules) {
      const suites = [...module.children.allSuites()].flatMap((suite) => suite.errors());
      for (const error of [...module.errors(), ...suites]) this.#failure(module.relativeModuleId, error);
    }
    for (const test of tests) {
      const { state, errors } = test.result();
      if (state !== 'failed') continue;
      for (const error of errors) this.#failure(nameOf(test), error);
      for (const line of this.#console.get(test.id) ?? []) this.#write(`  printed: ${line}`);
    }
    for (const error of unhandled) this.#failure('outside of any test', error);
  }

  #failure(where: string, error: SerializedError): void {
    const diff: unknown = error['diff'];
    // The stack's own first line is not always the message: that of a test that took too long was made before it ran.
    const frames = (error.stack ?? '')
      .split('\n')
      .filter((line) => /^ +at /.test(line) && !line.includes('/node_modules/'));
    const text = [
      `${error.name ?? 'Error'}: ${error.message}`,
      ...(typeof diff === 'string' ? [diff] : []),
      ...frames,
    ].join('\n');
    const lines = stripVTControlCharacters(text).split('\n').slice(0, MAX_ERROR_LINES);
    this.#write(`\nFAILED  ${where}\n${lines.map((line) => `  ${line}`).join('\n')}`);
  }

  #skips(tests: readonly TestCase[]): void {
    this.#write('');
    for (const test of tests) {
      const result = test.result();
      if (result.state !== 'skipped') continue;
      this.#write(`skipped  ${nameOf(test)}${isText(result.note) ? `: ${result.note}` : ''}`);
    }
  }

  #groups(tests: readonly TestCase[]): void {
    const counts = new Map<string, Count>(
      PROOF_GROUPS.map(({ name }) => [name, { passed: 0, failed: 0, skipped: 0 }]),
    );
    for (const test of tests) {
      const { group } = placeTest(test.module.relativeModuleId, suitesOf(test), test.name);
      const count = counts.get(group);
      const { state } = test.result();
      if (count !== undefined && state !== 'pending') count[state] += 1;
    }
    const row = (cells: readonly (string | number)[]): string =>
      cells.map((cell, i) => (i === 0 ? String(cell).padEnd(20) : String(cell).padStart(8))).join('');
    this.#write(`\n${row(['group', 'passed', 'failed', 'skipped'])}`);
    for (const [name, { passed, failed, skipped }] of counts)
      if (passed + failed + skipped > 0) this.#write(row([name, passed, failed, skipped]));
  }
}

function suitesOf(test: TestCase): string[] {
  const suites: string[] = [];
  for (let parent = test.parent; parent.type === 'suite'; parent = parent.parent) suites.unshift(parent.name);
  return suites;
}

function nameOf(test: TestCase): string {
  return [test.module.relativeModuleId, ...suitesOf(test), test.name].join(' > ');
}

function isText(value: string | undefined): value is string {
  return value !== undefined && value !== '';
}

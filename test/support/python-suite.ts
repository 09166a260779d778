import { describe, expect, it } from 'vitest';
import type { PythonTestbed } from './python.js';
import { startPython } from './python.js';

/** One test of a Python suite, as `python -m tests.report` prints it. */
interface PythonResult {
  readonly id: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  readonly detail: string;
}

const FOLDER = 'clients/python';
const TIMEOUT_MS = 600_000;

/**
 * Runs tests of clients/python, all or those named, and gives each a result of its own here. They run while tests are
 * collected: only then is known which of them are skipped, and why. Fewer than `least` results are a failure: a suite that
 * finds no tests passes nothing.
 */
export async function describePythonSuite(
  title: string,
  bed: PythonTestbed,
  names: readonly string[],
  least: number,
): Promise<void> {
  if (bed.missing !== null) {
    describe(title, () => it.skip(`NOT RUN: ${bed.missing}`));
    return;
  }
  const environment = { VRAM_RESIDENCY_LIBCUDA: bed.libraryPath, PYTHONPATH: 'src:.' };
  const args = ['-W', 'error::ResourceWarning', '-m', 'tests.report', ...names];
  const { code, stdout, stderr } = await startPython(bed.python, args, environment, FOLDER, TIMEOUT_MS);
  const results: readonly PythonResult[] = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
  describe(title, () => {
    it('the suite ran to its end', () => {
      expect(results.length).toBeGreaterThanOrEqual(least);
      expect({ code, stderr }).toEqual({
        code: results.some(({ outcome }) => outcome === 'failed') ? 1 : 0,
        stderr: '',
      });
    });
    for (const { id, outcome, detail } of results) {
      const name = id.replace(/^tests\./, '').replaceAll('_', ' ');
      if (outcome === 'skipped') it.skip(`${name} (NOT RUN: ${detail})`);
      else it(name, () => expect(outcome, detail).toBe('passed'));
    }
  });
}

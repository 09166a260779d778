import file from './expected-skips.json' with { type: 'json' };
import type { ExpectedSkips } from './result.js';
import type { SuiteName, SuiteOptions } from './run.js';

/** What the contract suite calls its target; null for suites that have none. */
const TARGETS: Readonly<Record<SuiteName, string | null>> = {
  contract: 'a CUDA driver',
  webgpu: 'a WebGPU adapter',
  groups: null,
};

/**
 * The skips that expected-skips.json lists for this run. `tooLarge` holds the bytes that a case needs: if that many are
 * allowed, the case has to run.
 */
export function expectedSkips(
  suite: SuiteName,
  { maxBytes, only }: Pick<SuiteOptions, 'maxBytes' | 'only'>,
): ExpectedSkips {
  const expected: Record<string, string> = { ...file[suite] };
  const target = TARGETS[suite];
  if (target !== null) {
    for (const [name, bytes] of Object.entries(file.tooLarge)) {
      if (bytes <= maxBytes) continue;
      expected[name] = `${bytes} bytes are too many for ${target}: at most ${maxBytes}`;
    }
  }
  return Object.fromEntries(Object.entries(expected).filter(([name]) => only === null || name === only));
}

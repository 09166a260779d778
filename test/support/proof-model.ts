import type { BackendKey, GroupName } from './proof-groups.js';

export type TestOutcome = 'passed' | 'failed' | 'skipped' | 'not finished';

/** One test as the run left it. */
export interface TestRecord {
  readonly kind: 'test';
  /** Relative to the repository. */
  readonly file: string;
  readonly suites: readonly string[];
  readonly name: string;
  readonly group: GroupName;
  readonly backend: BackendKey;
  /** Ids in the names of the test and its suites. */
  readonly requirements: readonly string[];
  readonly outcome: TestOutcome;
  readonly durationMs: number | null;
  /** Runs before it passed or gave up, beyond the first. */
  readonly retries: number;
  /** Why it was skipped, where that was said. */
  readonly note: string | null;
  /** First lines of what it failed with. */
  readonly errors: readonly string[];
}

/** What went wrong outside of any test: a file that did not load, an error that nobody awaited. */
export interface RunProblem {
  readonly kind: 'problem';
  readonly file: string | null;
  readonly message: string;
}

/** What runs a backend's kernels in this run, as found out and not as hoped. */
export interface BackendFact {
  readonly execution: 'real hardware' | 'software' | 'emulated' | 'host memory' | 'no device' | 'not known';
  readonly description: string;
}

export interface RunEnvironment {
  /** Of the commit's tree; null without git. */
  readonly commit: string | null;
  /** Whether files differ from that commit. */
  readonly changed: boolean | null;
  readonly version: string;
  /** RFC 3339, UTC. */
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly node: string;
  readonly vitest: string;
  readonly platform: string;
  readonly arch: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Programs that serve as oracles and builders, by name; null where missing. */
  readonly tools: Readonly<Record<string, string | null>>;
  /** VRAM_RESIDENCY_* variables whose values are words; others as "set". */
  readonly variables: Readonly<Record<string, string>>;
  /** What narrowed the run; null for the whole suite. */
  readonly filter: string | null;
  readonly backends: Readonly<Record<BackendKey, BackendFact>>;
}

export interface Requirement {
  readonly id: string;
  readonly text: string;
}

export interface ProofRun {
  readonly environment: RunEnvironment;
  readonly tests: readonly TestRecord[];
  readonly problems: readonly RunProblem[];
  /** Empty if docs/requirements.md is missing. */
  readonly requirements: readonly Requirement[];
}

const ID = /\[([A-Z]{2}-\d{3})\]/g;

/** Requirement ids in names, each once, in order of appearance. */
export function requirementIds(names: readonly string[]): string[] {
  return [...new Set(names.flatMap((name) => [...name.matchAll(ID)].map((match) => match[1] ?? '')))];
}

/** Requirements of a Markdown list or table: the id first in its line or row, the text after it. */
export function readRequirements(markdown: string): Requirement[] {
  const found = new Map<string, Requirement>();
  for (const line of markdown.split('\n')) {
    const match = /^(?:[-*|]\s*)*[`*]*([A-Z]{2}-\d{3})[`*]*[\s|:]+([^|]+)/.exec(line);
    const [, id, text] = match ?? [];
    if (id !== undefined && text !== undefined && !found.has(id)) found.set(id, { id, text: text.trim() });
  }
  return [...found.values()];
}

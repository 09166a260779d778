import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import type { Reporter, SerializedError, TestCase, TestModule, Vitest } from 'vitest/node';
import { bundleName, renderBundle } from './proof-bundle.js';
import { backendFacts, environmentAtStart, machineFacts, probeAdapter } from './proof-environment.js';
import { placeTest } from './proof-groups.js';
import {
  type RunProblem,
  readRequirements,
  requirementIds,
  type TestOutcome,
  type TestRecord,
} from './proof-model.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const MAX_MESSAGE = 300;

/**
 * Writes `.proof_bundle/unit/<UTC stamp>-<commit>/` from the results of the run that it watches, and from nothing else. The
 * folder above may be changed with VRAM_RESIDENCY_PROOF_DIRECTORY.
 */
export default class ProofReporter implements Reporter {
  readonly #start = environmentAtStart();
  #vitest: Vitest | null = null;

  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
  }

  async onTestRunEnd(
    modules: readonly TestModule[],
    unhandled: readonly SerializedError[],
    reason: string,
  ): Promise<void> {
    const ordered = [...modules].sort((a, b) => (a.relativeModuleId < b.relativeModuleId ? -1 : 1));
    const tests = ordered.flatMap((module) => [...module.children.allTests()].map(recordOf));
    const problems = [
      ...ordered.flatMap(moduleProblems),
      ...unhandled.map((error): RunProblem => ({ kind: 'problem', file: null, message: messageOf(error) })),
      ...(reason === 'interrupted'
        ? [{ kind: 'problem', file: null, message: 'the run was interrupted' } satisfies RunProblem]
        : []),
    ];
    const run = {
      environment: {
        ...this.#start,
        ...machineFacts(),
        vitest: this.#vitest?.version ?? 'not known',
        filter: await this.#filter(modules),
        finishedAt: new Date().toISOString(),
        backends: backendFacts(probeAdapter(), tests),
      },
      tests,
      problems,
      requirements: requirements(),
    };
    const above = process.env['VRAM_RESIDENCY_PROOF_DIRECTORY'] ?? join(root, '.proof_bundle', 'unit');
    const folder = join(above, bundleName(run.environment));
    mkdirSync(folder, { recursive: true });
    for (const [name, text] of renderBundle(run)) writeFileSync(join(folder, name), text);
    writeFileSync(join(above, 'latest'), `${bundleName(run.environment)}\n`);
  }

  /** What kept the run from being the whole suite: files left out, names filtered. */
  async #filter(modules: readonly TestModule[]): Promise<string | null> {
    const vitest = this.#vitest;
    if (vitest === null) return 'not known';
    const all = new Set((await vitest.globTestSpecifications()).map(({ moduleId }) => moduleId));
    for (const { moduleId } of modules) all.delete(moduleId);
    const { testNamePattern } = vitest.config;
    const narrowed = [
      ...(all.size === 0 ? [] : [`${all.size} test files were left out`]),
      ...(testNamePattern === undefined ? [] : [`names like ${testNamePattern.source}`]),
    ];
    return narrowed.length === 0 ? null : narrowed.join('; ');
  }
}

function recordOf(test: TestCase): TestRecord {
  const suites: string[] = [];
  let parent = test.parent;
  while (parent.type === 'suite') {
    suites.unshift(parent.name);
    parent = parent.parent;
  }
  const result = test.result();
  const file = test.module.relativeModuleId;
  return {
    kind: 'test',
    file,
    suites,
    name: test.name,
    ...placeTest(file, suites, test.name),
    requirements: requirementIds([...suites, test.name]),
    outcome: outcomeOf(result.state),
    durationMs: test.diagnostic()?.duration ?? null,
    retries: test.diagnostic()?.retryCount ?? 0,
    note: result.state === 'skipped' ? (result.note ?? null) : null,
    errors: (result.errors ?? []).map(messageOf),
  };
}

function outcomeOf(state: 'passed' | 'failed' | 'skipped' | 'pending'): TestOutcome {
  return state === 'pending' ? 'not finished' : state;
}

/** Errors that belong to no test: of the file and of its suites' hooks. */
function moduleProblems(module: TestModule): RunProblem[] {
  const errors = [...module.errors(), ...[...module.children.allSuites()].flatMap((suite) => suite.errors())];
  const file = module.relativeModuleId;
  const found = errors.map((error): RunProblem => ({ kind: 'problem', file, message: messageOf(error) }));
  const state = module.state();
  if (found.length === 0 && (state === 'pending' || state === 'queued')) {
    return [{ kind: 'problem', file, message: 'the file was not run to its end' }];
  }
  return found;
}

/** The first line of a message, without the folder that the tree lies in. */
function messageOf({ message }: { message: string }): string {
  const [first = ''] = stripVTControlCharacters(message).replaceAll(root, '').split('\n');
  return first.slice(0, MAX_MESSAGE);
}

function requirements(): ReturnType<typeof readRequirements> {
  try {
    return readRequirements(readFileSync(join(root, 'docs', 'requirements.md'), 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

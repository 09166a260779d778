// A test runner for Stryker. Tests run in Stryker's own process with Vitest's functions, and modules are loaded once for all
// mutants: loading them in a new thread for each took most of the time. Mutants of code that runs while a module loads get a
// new process each, as Stryker requests. A mutant may leave state behind that fails other tests. Therefore a test that
// killed one has to pass again without it; otherwise that mutant is tried once more in a new process.
import { relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { collectTests, getFn, getHooks } from '@vitest/runner';
import { glob } from 'tinyglobby';

const TEST_LIMIT_MS = 10_000;

const config = {
  root: process.cwd(),
  name: '',
  setupFiles: [],
  passWithNoTests: true,
  allowOnly: true,
  sequence: { shuffle: false, concurrent: false, seed: 1, hooks: 'stack', setupFiles: 'list' },
  maxConcurrency: 1,
  testTimeout: TEST_LIMIT_MS,
  hookTimeout: TEST_LIMIT_MS,
  retry: 0,
  includeTaskLocation: false,
  expect: {},
  fakeTimers: {},
  snapshotOptions: {},
  experimental: { importDurations: {} },
  tags: [],
  strictTags: false,
};
globalThis.__vitest_worker__ = {
  config,
  ctx: { pool: 'threads' },
  environment: { name: 'node' },
  providedContext: {},
};

class Runner {
  #ns;
  #paths = [];
  #files = new Map();
  #ran = 0;
  #poisoned = false;
  #unhandled = [];

  capabilities() {
    return { reloadEnvironment: false };
  }

  async init() {
    this.#ns = globalThis.__stryker__ ??= {};
    process.env.NODE_ENV = 'test';
    process.env.VITEST = '1';
    const { default: settings } = await import(pathToFileURL(resolve('vitest.stryker.config.js')).href);
    const { include, exclude, env, sequence } = settings.test;
    Object.assign(process.env, env);
    const paths = await glob(include, { ignore: exclude });
    const sorted = await new sequence.sequencer({}).sort(paths.sort().map((moduleId) => ({ moduleId })));
    this.#paths = sorted.map(({ moduleId }) => moduleId);
    const { expect } = await import('vitest');
    expect.poll = (ask, options) => polled(expect, ask, options);
    process.on('unhandledRejection', (reason) => this.#unhandled.push(reason));
    process.on('uncaughtException', (error) => this.#unhandled.push(error));
  }

  async dryRun() {
    const results = [];
    for (const path of this.#paths) {
      for (const test of await this.#testsOf(path)) {
        this.#ns.currentTestId = idOf(test);
        results.push(await this.#run(test));
        this.#ns.currentTestId = undefined;
      }
    }
    return { status: 'complete', tests: results, mutantCoverage: this.#ns.mutantCoverage };
  }

  async mutantRun({ activeMutant, testFilter, hitLimit, mutantActivation }) {
    if (this.#poisoned) process.exit(1);
    const ns = this.#ns;
    this.#unhandled.length = 0;
    if (mutantActivation === 'static') ns.activeMutant = activeMutant.id;
    const wanted = testFilter === undefined ? null : new Set(testFilter);
    const paths = this.#paths.filter(
      (path) => wanted === null || [...wanted].some((id) => id.startsWith(`${path}#`)),
    );
    ns.hitLimit = hitLimit;
    ns.hitCount = 0;
    let nrOfTests = 0;
    for (const path of paths) {
      let tests;
      try {
        tests = await this.#testsOf(path);
      } catch (error) {
        return {
          status: 'killed',
          killedBy: wanted === null ? [] : [...wanted].slice(0, 1),
          failureMessage: String(error),
          nrOfTests,
        };
      }
      ns.activeMutant = activeMutant.id;
      for (const test of tests) {
        if (wanted !== null && !wanted.has(idOf(test))) continue;
        nrOfTests++;
        const { status, failureMessage } = await this.#run(test);
        if (ns.hitCount > hitLimit) {
          const reason = `Hit limit reached (${ns.hitCount}/${hitLimit})`;
          ns.activeMutant = undefined;
          ns.hitCount = undefined;
          this.#poisoned = mutantActivation === 'static' || (await this.#run(test)).status === 1;
          return { status: 'timeout', reason };
        }
        if (status !== 1) continue;
        if (mutantActivation !== 'static') {
          ns.activeMutant = undefined;
          ns.hitCount = undefined;
          if ((await this.#run(test)).status === 1) {
            if (this.#ran > 0) process.exit(1);
            this.#poisoned = true;
          }
        }
        this.#ran++;
        return { status: 'killed', killedBy: [idOf(test)], failureMessage, nrOfTests };
      }
      if (mutantActivation !== 'static') ns.activeMutant = undefined;
    }
    this.#ran++;
    await settle();
    if (this.#unhandled.length > 0) {
      this.#poisoned = true;
      return { status: 'error', errorMessage: `outside of a test: ${String(this.#unhandled[0])}` };
    }
    return { status: 'survived', nrOfTests };
  }

  async dispose() {}

  /** The tests of a file, loaded once. */
  async #testsOf(path) {
    const known = this.#files.get(path);
    if (known !== undefined) return known;
    const runner = {
      config,
      pool: 'threads',
      importFile: async (file) => void (await import(pathToFileURL(file.replace(/\.ts$/, '.js')).href)),
      injectValue: () => undefined,
    };
    const files = await collectTests([{ filepath: resolve(path), testLocations: undefined }], runner);
    for (const { result } of files) {
      if (result?.state === 'fail')
        throw new Error(result.errors?.[0]?.message ?? 'the file cannot be loaded');
    }
    const tests = files.flatMap(testsIn).filter(({ mode }) => mode !== 'skip' && mode !== 'todo');
    this.#files.set(path, tests);
    return tests;
  }

  /** One test with the hooks around it: those for a whole suite too, as each test may run alone. */
  async #run(test) {
    const began = performance.now();
    const suites = suitesOf(test);
    const after = [];
    let failure = null;
    const attempt = async (work) => {
      try {
        await work();
      } catch (error) {
        failure ??= error;
      }
    };
    globalThis.__vitest_worker__.current = test;
    test.result = { state: 'run', startTime: began, retryCount: 0, repeatCount: 0 };
    await attempt(async () => {
      for (const suite of suites) {
        const hooks = getHooks(suite);
        for (const hook of hooks.beforeAll) {
          const undo = await hook(test.context, suite);
          if (typeof undo === 'function') after.push(undo);
        }
        for (const hook of hooks.afterAll) after.push(() => hook(test.context, suite));
      }
      for (const suite of suites) {
        const hooks = getHooks(suite);
        for (const hook of hooks.beforeEach) {
          const undo = await hook(test.context, suite);
          if (typeof undo === 'function') after.push(undo);
        }
        for (const hook of hooks.afterEach) after.push(() => hook(test.context, suite));
      }
      await getFn(test)();
    });
    for (const work of after.reverse()) await attempt(work);
    for (const work of (test.onFinished ?? []).splice(0).reverse()) await attempt(() => work(test.context));
    return {
      id: idOf(test),
      name: nameOf(test),
      fileName: test.file.filepath,
      timeSpentMs: performance.now() - began,
      ...(failure === null
        ? { status: 0 }
        : { status: 1, failureMessage: String(failure?.message ?? failure) }),
    };
  }
}

/** As Vitest's own, which asks for a test that Vitest runs. */
function polled(expect, ask, { timeout = 1000, interval = 50 } = {}) {
  const untilIt =
    (matcher) =>
    async (...wanted) => {
      const end = performance.now() + timeout;
      for (;;) {
        const found = await ask();
        try {
          return expect(found)[matcher](...wanted);
        } catch (error) {
          if (performance.now() > end) throw error;
        }
        await new Promise((done) => setTimeout(done, interval));
      }
    };
  return new Proxy({}, { get: (_, matcher) => untilIt(matcher) });
}

const testsIn = (task) => (task.type === 'suite' ? task.tasks.flatMap(testsIn) : [task]);

function suitesOf(test) {
  const suites = [];
  for (let suite = test.suite ?? test.file; suite; suite = suite.suite) suites.unshift(suite);
  if (suites[0] !== test.file) suites.unshift(test.file);
  return suites;
}

function nameOf(test) {
  const parts = [test.name];
  for (let suite = test.suite; suite; suite = suite.suite) parts.unshift(suite.name);
  return parts.join(' ').trim();
}

const idOf = (test) => `${relative(process.cwd(), test.file.filepath)}#${nameOf(test)}`;

async function settle() {
  for (let turn = 0; turn < 3; turn++) await new Promise((done) => setImmediate(done));
}

function create() {
  return new Runner();
}
create.inject = [];
export const strykerPlugins = [{ kind: 'TestRunner', name: 'in-process', factory: create }];

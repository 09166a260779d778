// Mutation testing: see scripts/mutate.mjs, which names the folder and the files to mutate.
const folder = process.env.VRAM_RESIDENCY_MUTATE ?? 'all';

export default {
  testRunner: 'in-process',
  buildCommand: 'node scripts/mutate-build.mjs',
  plugins: ['./scripts/mutate-ignored.mjs', './scripts/mutate-runner.mjs'],
  ignorers: ['option-keys'],
  coverageAnalysis: 'perTest',
  concurrency: 1,
  // Stryker would rewrite a tsconfig for its sandbox with TypeScript's JavaScript API; nothing compiles there.
  tsconfigFile: 'none.json',
  // Not even parsed: nothing is type-checked in the sandbox.
  disableTypeChecks: false,
  ignorePatterns: [
    '.stryker-tmp', '.cache', '.proof_bundle', '/assembly', '/native', '/cuda', '/bench', '/dist', '/reports'],
  tempDirName: `.stryker-tmp/${folder}`,
  reporters: ['clear-text', 'json', 'progress-append-only'],
  clearTextReporter: { allowColor: false, reportTests: false, logTests: false },
  // Runs of single files add up.
  incremental: true,
  incrementalFile: `reports/mutation/${folder}-incremental.json`,
  jsonReporter: { fileName: `reports/mutation/${folder}.json` },
  thresholds: { high: 90, low: 85, break: 85 },
  // Added to the time that the tests took without a mutant.
  timeoutMS: 8_000,
  timeoutFactor: 2,
};

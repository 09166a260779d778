import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** These take longest, the last most of all. */
const SLOW = [
  'unproven',
  'tamper',
  'stalled-parts',
  'residency',
  'matvec',
  'digest/engine',
  'property/digest',
  'handover/hostile',
  'execute',
  'seal',
  'scrub',
  'sets',
  'verify',
  'attest',
  'heal',
  'prune',
  'faults',
  'proof',
  'log',
  'drill',
  'tools',
];

/** The quickest file first, as a mutant's run ends with the first test that fails. */
class QuickestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) =>
      SLOW.findIndex((name) => moduleId.endsWith(`${name}.test.ts`));
    return [...files].sort((a, b) => rank(a) - rank(b));
  }
}

/**
 * The quick tests, on the host backend alone, that mutants of each folder of src/ meet (scripts/mutate.mjs names the
 * folder).
 */
const TESTS: Readonly<Record<string, readonly string[]>> = {
  seal: [
    'test/unit/seal/*.test.ts',
    'test/unit/crypto/dsse.test.ts',
    'test/unit/base/{canonical-json,base64,token}.test.ts',
  ],
  policy: ['test/unit/policy/*.test.ts'],
  manager: ['test/unit/manager/**/*.test.ts', 'test/unit/attest/*.test.ts', 'test/unit/events/*.test.ts'],
  handover: ['test/unit/handover/*.test.ts'],
  // Without wasm-refused.test.ts: what it refuses was loaded already where modules are shared.
  digest: [
    'test/unit/digest/{announced-length,engine,layout,portable-engine,tree-accumulator}.test.ts',
    'test/property/digest.test.ts',
  ],
  engines: ['test/unit/engines/onnxruntime/{graph,reads,survey}.test.ts'],
  worker: ['test/unit/worker/*.test.ts', 'test/property/worker-executions.test.ts'],
  audit: [
    'test/unit/audit/**/*.test.ts',
    'test/unit/node/audit/*.test.ts',
    'test/unit/events/audit-failure.test.ts',
    'test/property/audit-proof.test.ts',
  ],
};

const folder = process.env['VRAM_RESIDENCY_MUTATE'];
/** Fewer of them, where scripts/mutate.mjs was told which. */
const named = process.env['VRAM_RESIDENCY_MUTATE_TESTS']?.split(' ').filter((path) => path !== '') ?? [];
const all = folder === undefined ? Object.values(TESTS).flat() : [...(TESTS[folder] ?? [])];

export default defineConfig({
  test: {
    include: named.length > 0 ? named : all,
    // The last two test src/node/audit and processes that a mutant is not switched on in; they take half of the time.
    exclude: [
      'test/unit/**/{backends,lease-webgpu,kubernetes}.test.ts',
      'test/unit/node/audit/{kill,recovery,foreign-names}.test.ts',
      // These change the umask, which a thread may not, or lock files against other processes.
      'test/unit/worker/{socket,listener,rude-clients,tls,device-lock}.test.ts',
      'node_modules/**',
    ],
    // Stryker's runner asks for threads; nothing here loads a GPU driver.
    pool: 'threads',
    maxWorkers: 1,
    env: { VRAM_RESIDENCY_TEST_ADAPTER: 'host' },
    // Every mutant is a run of its own in a new thread; its files share their modules, or loading them would take most of
    // the time.
    isolate: false,
    sequence: { sequencer: QuickestFirst },
    // Quick tests all, at most some seconds each: one that waits this long for a mutant waits for ever.
    testTimeout: 10_000,
  },
});

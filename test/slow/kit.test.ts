import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { env } from 'node:process';
import { afterAll, describe, expect, it } from 'vitest';
import { PLAN } from '../../scripts/kit/runner/plan.js';
import { type Fault, KIT_FILES, Kit, kitMissing } from '../support/kit.js';
import { oldRoot } from '../support/old-root.js';
import { prepareVulkan } from '../support/vulkan.js';

const INVALID_VALUE = 1;
const OUT_OF_MEMORY = 2;
const INVALID_PTX = 218;
const UNKNOWN = 999;

/** One failure for every step: driver calls that fail, processes that crash or hang. */
const FAULTS: readonly Fault[] = [
  { step: 'environment', crash: true },
  { step: 'selftest', fail: [['cuLaunchKernel', 5, INVALID_VALUE]] },
  { step: 'contract', fail: [['cuLaunchKernel', 200, INVALID_VALUE]] },
  { step: 'drill', fail: [['cuLaunchKernel', 100, INVALID_VALUE]] },
  { step: 'verify-sweep', fail: [['cuMemcpyDtoDAsync_v2', 1, INVALID_VALUE]] },
  { step: 'variants', fail: [['cuModuleLoadDataEx', 2, INVALID_PTX]] },
  { step: 'readonly-probe', fail: [['cuLaunchKernel', 5, INVALID_VALUE]] },
  { step: 'groups', fail: [['cuLaunchKernel', 100, INVALID_VALUE]] },
  { step: 'upload', hang: true },
  { step: 'seal', fail: [['cuMemCreate', 7, OUT_OF_MEMORY]] },
  { step: 'many-tensors', fail: [['cuLaunchKernel', 30, INVALID_VALUE]] },
  { step: 'guard', fail: [['cuMemCreate', 1, OUT_OF_MEMORY]] },
  { step: 'guard-torch', crash: true },
  { step: 'sharing', fail: [['cuMemExportToShareableHandle', 1, UNKNOWN]] },
  { step: 'pytorch', crash: true },
  { step: 'survivors', fail: [['cuMemCreate', 3, OUT_OF_MEMORY]] },
  { step: 'jit', fail: [['cuModuleLoadDataEx', 1, INVALID_PTX]] },
  { step: 'scrub', fail: [['cuModuleLoadDataEx', 2, INVALID_PTX]] },
  { step: 'loss', fail: [['cuDevicePrimaryCtxRetain', 1, UNKNOWN]] },
  { step: 'probe', crash: true },
  { step: 'webgpu', crash: true },
  { step: 'engine', crash: true },
  { step: 'profile', crash: true },
];
/** Where what the step needs is not on this machine. */
const MAY_SKIP = [
  'probe',
  'webgpu',
  'engine',
  'profile',
  'guard',
  'guard-torch',
  'sharing',
  'pytorch',
  'survivors',
];

const missing = await kitMissing();

/** What leads another process to the driver that prepareVulkan() chose. */
function vulkanEnvironment(): Record<string, string> {
  const driver = env['VK_DRIVER_FILES'];
  if (driver === undefined) return {};
  // SwiftShader comes with a Vulkan loader of its own beside it.
  return { VK_DRIVER_FILES: driver, VK_ICD_FILENAMES: driver, LD_LIBRARY_PATH: dirname(driver) };
}

describe('kit: the whole of it over the emulated driver', () => {
  if (missing !== null) {
    it.skip(`NOT RUN: ${missing}`);
    return;
  }
  const { kit } = Kit.make();
  afterAll(() => kit.remove());

  it('every step passes, or says what is not here for it', async () => {
    const { code, lines } = await kit.run(['--emulated']);
    const wrong = lines.filter(
      ({ step, status }) => status !== 'passed' && !(status === 'skipped' && MAY_SKIP.includes(step)),
    );
    expect(wrong).toEqual([]);
    expect(lines.map(({ step }) => step)).toEqual(PLAN.map(({ name }) => name));
    expect(code).toBe(0);
  });

  it('an engine computes on sealed weights, over the Vulkan of this machine', async ({ skip }) => {
    const { adapter } = await prepareVulkan();
    if (adapter === 'host') skip('this machine has no Vulkan');
    const { code, lines } = await kit.run(['--emulated', '--steps', 'engine'], {
      environment: vulkanEnvironment(),
    });
    const [, line] = lines;
    expect([line?.step, line?.status, line?.reason]).toEqual(['engine', 'passed', null]);
    expect(line?.figures).toMatchObject({
      sealed: adapter === 'hardware' ? { tensors: 122 } : { bytes: 22_656, tensors: 9 },
      witness: { copies: 0, readWrite: 0, unknown: 0 },
      damage: { flips: 64 },
    });
    expect(code).toBe(0);
  });

  it('every step made to fail shows as a failed line, and the run goes on to its end', async () => {
    expect(FAULTS.map(({ step }) => step)).toEqual(PLAN.map(({ name }) => name));
    const { code, lines } = await kit.run(['--emulated'], { faults: FAULTS });
    expect(lines.map(({ step, status }) => [step, status])).toEqual(
      PLAN.map(({ name }) => [name, name === 'upload' ? 'timed-out' : 'failed']),
    );
    for (const { status, reason } of lines) if (status === 'failed') expect(reason).toMatch(/\w/);
    expect(code).toBe(1);
  });

  it('runs on Debian 11 too, with what it brings', async ({ skip }) => {
    const root = await oldRoot();
    if (root.missing !== null) return skip(root.missing);
    const folder = '/opt/kit';
    const inside = join(root.path, folder);
    rmSync(inside, { recursive: true, force: true });
    mkdirSync(join(inside, 'tmp'), { recursive: true });
    try {
      for (const file of KIT_FILES) copyFileSync(join(kit.folder, file), join(inside, file));
      const args = [
        `${folder}/run.sh`,
        '--emulated',
        '--steps',
        'selftest,contract,drill',
        '--out',
        `${folder}/report`,
      ];
      const { status, stdout } = await root.run('/bin/bash', args, { TMPDIR: `${folder}/tmp` });
      expect(stdout).toContain('4 passed, 0 failed, 0 skipped');
      expect(status).toBe(0);
    } finally {
      rmSync(inside, { recursive: true, force: true });
    }
  });

  it('--seconds ends the run in time: what is left is told as skipped', async () => {
    const started = performance.now();
    const { lines } = await kit.run(['--emulated', '--seconds', '10']);
    expect(performance.now() - started).toBeLessThan(40_000);
    expect(lines).toHaveLength(PLAN.length);
    expect(lines.filter(({ status }) => status === 'skipped').at(-1)?.reason).toBe(
      'the 10 s of --seconds leave no time for it',
    );
  });
});

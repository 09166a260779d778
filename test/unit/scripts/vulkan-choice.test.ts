import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { prepareVulkan } from '../../support/vulkan.js';

const { adapter } = await prepareVulkan();
const HELPER = new URL('../../support/vulkan.mjs', import.meta.url).href;

/** What a process of its own chooses when it is asked for Mesa: the line it prints, or its error. */
async function askForMesa(driverFile: string): Promise<string> {
  const program = `import { prepareVulkan } from '${HELPER}';
    prepareVulkan().catch(({ message }) => { process.stderr.write(message); process.exitCode = 1; })
      .finally(() => process.exit());`;
  const { NODE_OPTIONS: _, ...environment } = process.env;
  const { stderr } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
    timeout: 60_000,
    env: {
      ...environment,
      VRAM_RESIDENCY_TEST_ADAPTER: 'mesa',
      VK_DRIVER_FILES: driverFile,
      LD_LIBRARY_PATH: dirname(driverFile),
    },
  }).catch((error: unknown) => {
    if (error instanceof Error && 'stderr' in error) return { stderr: String(error.stderr) };
    throw error;
  });
  return stderr;
}

describe('the choice of a Vulkan driver for tests', () => {
  it.skipIf(adapter !== 'swiftshader')(
    'takes the one that VK_DRIVER_FILES names, and refuses what is not Mesa (skipped without SwiftShader)',
    { timeout: 60_000 },
    async () => {
      const driverFile = process.env['VK_DRIVER_FILES'] ?? '';
      expect(await askForMesa(driverFile)).toMatch(/but mesa is not what WebGPU found: .*SwiftShader/);
    },
  );

  it('a driver file that is not there gives no adapter, and the message tells the file', {
    timeout: 60_000,
  }, async ({ skip }) => {
    if (adapter === 'host') skip('no WebGPU here');
    expect(await askForMesa('/nowhere/lvp_icd.json')).toMatch(
      /but mesa is not there; VK_DRIVER_FILES is \/nowhere\/lvp_icd\.json$/,
    );
  });
});

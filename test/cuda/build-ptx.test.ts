import { spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const PYTHON_COPY = 'clients/python/src/vram_residency/vram.ptx';

// Without nvcc: npm test compiles every program again before it runs the tests, as scripts/test.mjs shows.
describe('build:cuda --check, by hashes alone', () => {
  let tree = '';
  beforeEach(() => {
    tree = mkdtempSync(join(tmpdir(), 'vram-build-ptx-'));
    for (const path of ['scripts', 'cuda', PYTHON_COPY])
      cpSync(join(root, path), join(tree, path), { recursive: true });
  });
  afterEach(() => rmSync(tree, { recursive: true, force: true }));

  const check = () =>
    spawnSync(process.execPath, [join(tree, 'scripts/build-cuda.mjs'), '--check'], {
      encoding: 'utf8',
      env: { ...process.env, NVCC: join(tree, 'no such program') },
    });
  const changeByte = (path: string): void => {
    const text = readFileSync(join(tree, path), 'utf8');
    const at = text.indexOf('xor') + 1;
    writeFileSync(join(tree, path), `${text.slice(0, at)}O${text.slice(at + 1)}`);
  };

  it('the committed PTX of every program belongs to its committed sources; that nothing was compiled is said', () => {
    const done = check();
    expect(done).toMatchObject({ status: 0, stderr: '' });
    for (const ptx of ['cuda/vram.ptx', 'cuda/variants/pair.ptx', 'cuda/variants/measure.ptx']) {
      expect(done.stdout).toMatch(
        new RegExp(`^${ptx}: SKIPPED: recompilation \\(needs nvcc .*; here: none\\)$`, 'm'),
      );
      expect(done.stdout).toContain(`${ptx}: header agrees with source and body\n`);
    }
  });

  it('a header that changed is told for each program that includes it, and for no other', () => {
    appendFileSync(join(tree, 'cuda/variants/coalesced.cuh'), '\n');
    const { status, stderr } = check();
    expect(status).toBe(1);
    expect(stderr.match(/(?<=changed since ).*(?= was made)/g)).toEqual([
      'cuda/variants/coalesced-multiply.ptx',
      'cuda/variants/coalesced.ptx',
    ]);
  });

  it('a copy for Python that is another is told', () => {
    changeByte(PYTHON_COPY);
    expect(check()).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(`${PYTHON_COPY} is not cuda/vram.ptx`),
    });
  });

  it('the header that all kernels of the tree share is a source of what ships', () => {
    appendFileSync(join(tree, 'cuda/sha256.cuh'), '\n');
    expect(check().stderr).toContain('cuda/vram.cu or cuda/sha256.cuh changed since cuda/vram.ptx was made');
  });

  it('a PTX that was edited by hand is told', () => {
    changeByte('cuda/variants/measure.ptx');
    expect(check()).toMatchObject({ status: 1, stderr: 'cuda/variants/measure.ptx was edited by hand\n' });
  });

  it('a source without PTX, and PTX without a source, are told', () => {
    rmSync(join(tree, 'cuda/variants/pair.ptx'));
    rmSync(join(tree, 'cuda/variants/measure.cu'));
    const { status, stderr } = check();
    expect(status).toBe(1);
    expect(stderr).toContain('cuda/variants/pair.ptx is missing');
    expect(stderr).toContain('cuda/variants/measure.ptx has no source cuda/variants/measure.cu');
  });
});

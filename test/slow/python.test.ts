import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { pythonTestbed, runPython } from '../support/python.js';
import { describePythonSuite } from '../support/python-suite.js';

/** Debian's Python, which has its packages; a version manager's has not. */
const { VRAM_RESIDENCY_TORCH_PYTHON: name = '/usr/bin/python3' } = process.env;
const bed = pythonTestbed(name);

function lacking(...modules: readonly string[]): string | null {
  if (bed.missing !== null) return bed.missing;
  const script = `import importlib.util as u; print(*[m for m in ${JSON.stringify(modules)} if not u.find_spec(m)])`;
  const missing = runPython(bed.python, ['-I', '-c', script], {}).stdout.trim();
  return missing === '' ? null : `${name} lacks ${missing}`;
}

const withoutTorch = lacking('torch');
const torchBed = withoutTorch === null ? bed : { missing: withoutTorch };
await describePythonSuite('clients/python over real PyTorch', torchBed, ['tests.test_torch'], 9);

const withoutTools = lacking('build', 'setuptools', 'wheel');

describe(`the Python package${withoutTools === null ? '' : ` (NOT RUN: ${withoutTools})`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'vram-python-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.skipIf(withoutTools !== null)('sdist and wheel build without a network, and the wheel works', () => {
    if (bed.missing !== null) throw new Error(bed.missing);
    const source = join(folder, 'source');
    const made = join(folder, 'made');
    const installed = join(folder, 'installed');
    cpSync('clients/python', source, { recursive: true });
    const offline = {
      PIP_NO_INDEX: '1',
      http_proxy: 'http://127.0.0.1:9',
      https_proxy: 'http://127.0.0.1:9',
    };
    const build = ['-I', '-m', 'build', '--no-isolation', '--outdir', made, source];
    const built = runPython(bed.python, build, offline, 300_000);
    expect(built.code, built.stdout + built.stderr).toBe(0);
    const files = readdirSync(made);
    const sdistName = files.find((file) => /^vram[-_]residency-0\.1\.0\.tar\.gz$/.test(file)) ?? '';
    expect(files).toHaveLength(2);
    const list = ['-m', 'tarfile', '-l', join(made, sdistName)];
    const sdist = runPython(bed.python, list, {}).stdout;
    for (const part of [
      'vram.ptx',
      'py.typed',
      'tests/standin.py',
      'kit/guard_step.py',
      'alerts/vram-guard.rules.yml',
    ]) {
      expect(sdist).toContain(part);
    }
    const wheel = join(made, 'vram_residency-0.1.0-py3-none-any.whl');
    expect(runPython(bed.python, ['-m', 'zipfile', '-e', wheel, installed], {}).code).toBe(0);
    const environment = { PYTHONPATH: installed, VRAM_RESIDENCY_LIBCUDA: bed.libraryPath };
    const selftest = runPython(bed.python, ['-m', 'vram_residency', 'selftest', '--json'], environment);
    expect(selftest.code).toBe(0);
    expect(JSON.parse(selftest.stdout)).toMatchObject({ ok: true, emulated: true });
  });
});

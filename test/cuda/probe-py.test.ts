import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Outcome } from '../support/python.js';
import { pythonTestbed, runPython } from '../support/python.js';

const PROBE = 'scripts/kit/probe.py';
const SHIPPED = 'cuda/vram.ptx';
const VARIANTS = 'cuda/variants';
const QUICK = ['--max-gib', '0.001'];
/** The last line of output is the test driver's state after the probe. */
const AFTERWARDS = `
import ctypes, os, runpy, sys
library = ctypes.CDLL(os.environ["VRAM_RESIDENCY_LIBCUDA"])
for name, nth, result in [fault.split(":") for fault in os.environ.get("FAULTS", "").split()]:
    library.vr_emulator_fail_call(name.encode(), ctypes.c_ulonglong(int(nth)), int(result))
code = 0
try:
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    code = end.code
library.vr_emulator_state.restype = ctypes.c_char_p
print(library.vr_emulator_state().decode().replace("\\n", " "), file=sys.stderr)
sys.exit(code)
`;

const bed = pythonTestbed();

describe(`the probe without Node${bed.missing === null ? '' : ` (NOT RUN: ${bed.missing})`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'probe-py-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function probe(args: readonly string[], environment: Record<string, string> = {}): Outcome {
    if (bed.missing !== null) throw new Error(bed.missing);
    return runPython(bed.python, [PROBE, ...args], {
      VRAM_RESIDENCY_LIBCUDA: bed.libraryPath,
      ...environment,
    });
  }

  /** A copy of the shipped PTX with one change, which has to apply. */
  function changedPtx(name: string, from: string, to: string): string {
    const text = readFileSync(SHIPPED, 'utf8');
    expect(text).toContain(from);
    const path = join(folder, name);
    writeFileSync(path, text.replace(from, to));
    return path;
  }

  /** A folder of variants with this one file of the test's folder in it. */
  function variantsOf(file: string): string {
    const variants = mkdtempSync(join(folder, 'variants-'));
    copyFileSync(join(folder, file), join(variants, file));
    const name = file.replace('.ptx', '');
    writeFileSync(
      join(variants, 'variants.json'),
      JSON.stringify([{ name, file, blocksPerThread: 1, threads: [128] }]),
    );
    return variants;
  }

  it.skipIf(bed.missing !== null)(
    'right hashes: exit 0, and one JSON document with a sweep, copies and a readback',
    () => {
      const out = join(folder, 'report.json');
      const { code, stdout, stderr } = probe([SHIPPED, ...QUICK, '--out', out]);
      expect(stderr).toBe('');
      expect(code).toBe(0);
      expect(readFileSync(out, 'utf8')).toBe(stdout);
      expect(JSON.parse(stdout)).toMatchObject({
        v: 1,
        ok: true,
        driver: '12.8',
        device: { index: 0, name: 'Emulated GPU', capability: '9.0' },
        kernels: [
          {
            name: 'shipped',
            knownAnswers: { leaves: true, nodes: true, changedBit: true, count: true },
            sweep: [
              { bytes: 1 << 20, threads: 64, GBps: expect.any(Number) },
              { bytes: 1 << 20, threads: 128 },
              { bytes: 1 << 20, threads: 256 },
            ],
          },
        ],
        copies: [{ bytes: 1 << 19 }],
        readback: { bytes: 1 << 20 },
      });
    },
  );

  it.skipIf(bed.missing !== null)('a wrong round constant, shipped or in a variant: exit 1', () => {
    const broken = changedPtx('broken.ptx', '1116352408', '1116352409');
    const { code, stdout, stderr } = probe([broken, ...QUICK]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^probe\.py: .*wrong hashes.*\n$/);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      kernels: [{ knownAnswers: { leaves: false, nodes: false, changedBit: true, count: true } }],
    });
    const variant = probe([SHIPPED, ...QUICK, '--variants', variantsOf('broken.ptx')]);
    expect(variant.code).toBe(1);
    const rows: { readonly name: string; readonly sweep?: unknown }[] = JSON.parse(variant.stdout).kernels;
    expect(rows.map(({ name, sweep }) => [name, sweep !== undefined])).toEqual([
      ['shipped', true],
      ['broken', false],
    ]);
  });

  it.skipIf(bed.missing !== null)(
    'kernels that do not compile: exit 1; as a variant they are only told',
    () => {
      writeFileSync(join(folder, 'torn.ptx'), readFileSync(SHIPPED).subarray(0, 5000));
      const shipped = probe([join(folder, 'torn.ptx'), ...QUICK]);
      expect(shipped.code).toBe(1);
      expect(shipped.stderr).toContain('cuModuleLoadData returned CUDA_ERROR_INVALID_PTX');
      const { code, stdout } = probe([SHIPPED, ...QUICK, '--variants', variantsOf('torn.ptx')]);
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        ok: true,
        kernels: [{ name: 'shipped' }, { name: 'torn', error: expect.stringContaining('INVALID_PTX') }],
      });
    },
  );

  it.skipIf(bed.missing !== null)('the variants of the leaf kernel hash as the shipped one does', () => {
    const { code, stdout } = probe([SHIPPED, ...QUICK, '--variants', VARIANTS]);
    const rows: { readonly name: string; readonly knownAnswers: object; readonly sweep: unknown[] }[] =
      JSON.parse(stdout).kernels;
    expect(rows.map(({ name }) => name)).toEqual([
      'shipped',
      'multiply',
      'pair',
      'coalesced',
      'coalesced-multiply',
    ]);
    for (const { knownAnswers, sweep } of rows.slice(1)) {
      expect(knownAnswers).toEqual({ leaves: true, changedBit: true, count: true });
      expect(sweep).toHaveLength(3);
    }
    expect(code).toBe(0);
  });

  const unusable = [
    ['no driver', { VRAM_RESIDENCY_LIBCUDA: '/nonexistent/libcuda.so.1' }, 'no NVIDIA driver'],
    ['no GPU', { VRAM_EMULATOR: 'initResult=100' }, 'CUDA_ERROR_NO_DEVICE'],
    ['a driver older than CUDA 12.0', { VRAM_EMULATOR: 'driverVersion=11080' }, 'CUDA 11.8'],
    ['compute capability under 7.5', { VRAM_EMULATOR: 'major=7;minor=0' }, 'compute capability 7.0'],
    ['too little memory', { VRAM_EMULATOR: 'totalBytes=33554432' }, '32 MiB of GPU memory are free'],
  ] as const;
  it.skipIf(bed.missing !== null).each(unusable)('%s: exit 3 and one line', (_, environment, line) => {
    const { code, stdout, stderr } = probe([SHIPPED, ...QUICK], environment);
    expect(code).toBe(3);
    expect(stderr.split('\n')).toEqual([expect.stringContaining(line), '']);
    expect(JSON.parse(stdout)).toMatchObject({ v: 1, ok: false, error: expect.stringContaining(line) });
  });

  const misused = [
    ['no PTX', []],
    ['a PTX that is not there', ['/nonexistent.ptx']],
    ['an unknown option', [SHIPPED, '--fast']],
    ['a device number that is none', [SHIPPED, '--device', '-1']],
    ['no size', [SHIPPED, '--max-gib', '0']],
    ['variants that are not a folder', [SHIPPED, '--variants', SHIPPED]],
    ['a folder without a manifest of variants', [SHIPPED, '--variants', 'cuda']],
    ['a report that cannot be written', [SHIPPED, '--out', '/nonexistent/report.json']],
  ] as const;
  it.skipIf(bed.missing !== null).each(misused)('%s: exit 2 and one line', (_, args) => {
    const { code, stdout, stderr } = probe(args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^probe\.py: .*\n$/);
  });

  const faults = [
    ['none', '', 0],
    ['a launch of the known answers', 'cuLaunchKernel:1:719', 1],
    ['a copy back', 'cuMemcpyDtoH_v2:1:719', 1],
    ['the event of the first measurement', 'cuEventCreate:1:2', 1],
    ['the largest allocation: a smaller one is measured', 'cuMemAlloc_v2:6:2', 0],
  ] as const;
  it.skipIf(bed.missing !== null).each(faults)('nothing is left allocated, failing: %s', (_, fault, code) => {
    if (bed.missing !== null) throw new Error(bed.missing);
    const environment = { VRAM_RESIDENCY_LIBCUDA: bed.libraryPath, FAULTS: fault };
    const args = ['-c', AFTERWARDS, PROBE, SHIPPED, '--max-gib', '0.004'];
    const outcome = runPython(bed.python, args, environment);
    expect(outcome.code).toBe(code);
    const { live } = JSON.parse(outcome.stderr.trim().split('\n').at(-1) ?? '');
    expect(Object.values(live)).toEqual(Object.values(live).map(() => 0));
  });
});

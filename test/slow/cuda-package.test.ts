import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { portabilityProblems } from '../../scripts/portability.mjs';
import { describeCuda } from '../cuda/testbed.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const prebuilt = join(root, 'native/prebuilt');
const addonPath = `native/prebuilt/${process.platform}-${process.arch}/vram_residency.node`;

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

function isPacked(value: unknown): value is Packed {
  return typeof value === 'object' && value !== null && 'filename' in value && 'files' in value;
}

/** The packed package, unpacked into an empty folder with its dependencies alone, and used from there. */
describeCuda('cuda: the packed package', (bed) => {
  const work = mkdtempSync(join(tmpdir(), 'vram-cuda-package-'));
  const installed = join(work, 'node_modules/vram-residency');
  const hadPrebuilt = existsSync(prebuilt);
  // What `build:cuda -- --machine-code` leaves in a working tree.
  const fatbin = join(root, 'cuda/build/package-test.fatbin');
  let files: readonly string[] = [];

  function run(file: string, args: readonly string[], env: Record<string, string> = {}): string {
    return execFileSync(file, args, { cwd: work, encoding: 'utf8', env: { ...process.env, ...env } });
  }

  beforeAll(() => {
    if (!existsSync(join(root, 'dist/bundle/lib/index.js')))
      throw new Error('dist is not built: npm run build');
    mkdirSync(dirname(fatbin), { recursive: true });
    writeFileSync(fatbin, 'machine code');
    execFileSync(process.execPath, [join(root, 'scripts/prepack-native.mjs')], { stdio: 'ignore' });
    // prepack has just been done, as far as the addon goes; the rest of it would change the tree.
    const printed = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', work], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const list: unknown = JSON.parse(printed);
    const packed: unknown = Array.isArray(list) ? list[0] : null;
    if (!isPacked(packed)) throw new Error('npm pack gave no answer');
    files = packed.files.map(({ path }) => path);
    mkdirSync(installed, { recursive: true });
    run('tar', ['-xzf', join(work, packed.filename), '--strip-components=1', '-C', installed]);
    const manifest: { dependencies: Record<string, string> } = JSON.parse(
      readFileSync(join(installed, 'package.json'), 'utf8'),
    );
    for (const name of Object.keys(manifest.dependencies)) {
      const link = join(work, 'node_modules', name);
      mkdirSync(dirname(link), { recursive: true });
      symlinkSync(join(root, 'node_modules', name), link);
    }
  });

  afterAll(() => {
    rmSync(work, { recursive: true, force: true });
    rmSync(fatbin, { force: true });
    // A prebuilt addon in the tree would hide the one that is built next.
    if (!hadPrebuilt) rmSync(prebuilt, { recursive: true, force: true });
  });

  it('carries the addon and the PTX, and nothing of the test driver, the addon’s source or machine code', () => {
    expect(files).toContain(addonPath);
    expect(files).toContain('cuda/vram.ptx');
    expect(files.filter((path) => /emulator|libcuda|fatbin|cuda\/build|\.cc$|\.h$|\.o$/.test(path))).toEqual(
      [],
    );
  });

  it('the addon runs on glibc 2.28', () => {
    expect(portabilityProblems(readFileSync(join(installed, addonPath)))).toEqual([]);
  });

  it('finds and uses the addon from there', () => {
    const program = join(installed, 'dist/bundle/lib/main.js');
    const printed = run(process.execPath, [program, 'devices', '--json'], {
      VRAM_RESIDENCY_LIBCUDA: bed.libraryPath ?? '',
    });
    const answer: { devices: readonly { id: string; residency: string }[] } = JSON.parse(printed);
    expect(answer.devices).toContainEqual(expect.objectContaining({ id: 'cuda:0', residency: 'host' }));
  });

  it('without a driver it says what is missing, and goes on', () => {
    const program = join(installed, 'dist/bundle/lib/main.js');
    const printed = run(process.execPath, [program, 'devices', '--json'], {
      VRAM_RESIDENCY_LIBCUDA: join(work, 'libcuda.so.1'),
    });
    const answer: { missing: readonly { backend: string; message: string }[] } = JSON.parse(printed);
    expect(answer.missing).toContainEqual(
      expect.objectContaining({ backend: 'cuda', message: expect.stringContaining('no NVIDIA driver') }),
    );
  });
});

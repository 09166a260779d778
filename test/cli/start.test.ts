import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { beforeAll, describe, expect, it } from 'vitest';
import { nodeBackends } from '../../src/node/index.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const imports = new Map<string, readonly string[]>();

/** The files of src/ that a module brings along: all but what import() loads later. */
function loadedWith(...modules: readonly string[]): string[] {
  const found = new Set<string>();
  const visit = (file: string): void => {
    if (found.has(file)) return;
    found.add(file);
    for (const next of imports.get(file) ?? []) visit(next);
  };
  for (const module of modules) visit(`src/${module}`);
  return [...found].map((file) => file.slice('src/'.length)).sort();
}

beforeAll(async () => {
  const { metafile } = await build({
    entryPoints: ['src/cli/main.ts'],
    outdir: '.cache/start',
    bundle: true,
    write: false,
    metafile: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    logLevel: 'silent',
    absWorkingDir: root,
  });
  for (const [file, { imports: all }] of Object.entries(metafile.inputs)) {
    const now = all.filter(({ external, kind }) => external !== true && kind === 'import-statement');
    imports.set(
      file,
      now.map(({ path }) => path),
    );
  }
});

describe('the program starts', () => {
  const heavy =
    /^(audit|device|manager|seal|attest|policy|telemetry|events)\/|^generated\/(ptx|shaders)\.ts$/;
  it.each([
    ['digest', ['cli/main.ts', 'cli/commands/digest.ts']],
    ['--version', ['cli/main.ts']],
  ])('%s without devices, seals or logs', (_, modules) => {
    const files = loadedWith(...modules);
    expect(files.length).toBeGreaterThan(50);
    expect(files.filter((file) => heavy.test(file))).toEqual([]);
    expect(files.filter((file) => file.startsWith('node/audit/'))).toEqual([
      'node/audit/index.ts',
      'node/audit/retention.ts',
    ]);
    expect(files.filter((file) => file.startsWith('node/devices/cuda/'))).toEqual([]);
  });

  it('"devices" without the manager or a log', () => {
    const files = loadedWith('cli/main.ts', 'cli/commands/devices.ts', 'node/devices/cuda/index.ts');
    expect(files).toContain('device/cuda/index.ts');
    expect(files.filter((file) => /^(audit|manager|seal|attest)\//.test(file))).toEqual([]);
  });
});

/** What Node reads before the first line of a program runs: the files of the bundle, and other packages. */
function readAtStart(entry: string) {
  const files = new Map<string, number>();
  const packages = new Set<string>();
  const builtins = new Set<string>();
  const visit = (file: string): void => {
    if (files.has(file)) return;
    const text = readFileSync(join(root, 'dist/bundle/lib', file), 'utf8');
    files.set(file, text.length);
    for (const [, from = ''] of text.matchAll(/^(?:import|export)\b[^'"]*["']([^"']+)["'];$/gm)) {
      if (from.startsWith('./')) visit(from.slice(2));
      else (from.startsWith('node:') ? builtins : packages).add(from);
    }
  };
  visit(entry);
  const bytes = [...files.values()].reduce((sum, length) => sum + length, 0);
  return { files: files.size, bytes, packages: [...packages], builtins: [...builtins] };
}

describe('the bundle', () => {
  it.each([
    // Nearly all that an import costs is the number of files, then their length.
    ['index.js', 12, 260_000, []],
    ['main.js', 10, 110_000, ['commander']],
    ['client.js', 8, 40_000, []],
  ])('%s reads at most %d files, %d bytes and the packages %j', (entry, files, bytes, packages) => {
    const read = readAtStart(entry);
    expect(read.files).toBeLessThanOrEqual(files);
    expect(read.bytes).toBeLessThanOrEqual(bytes);
    expect(read.packages).toEqual(packages);
  });

  it.each(['browser.js', 'onnxruntime-browser.js'])('%s reads nothing of Node', (entry) => {
    expect(readAtStart(entry).builtins).toEqual([]);
  });
});

describe('nodeBackends', () => {
  it('refuses an unknown engine before any device is looked for', () => {
    const before = process.env['VRAM_RESIDENCY_DIGEST'];
    process.env['VRAM_RESIDENCY_DIGEST'] = 'abacus';
    try {
      expect(() => nodeBackends()).toThrow('"VRAM_RESIDENCY_DIGEST" must be one of native, wasm, hash-wasm');
    } finally {
      if (before === undefined) delete process.env['VRAM_RESIDENCY_DIGEST'];
      else process.env['VRAM_RESIDENCY_DIGEST'] = before;
    }
  });

  it('names its backends in the order of "auto", and loads each when it is asked', async () => {
    const backends = nodeBackends();
    expect(backends.map(({ kind }) => kind)).toEqual(['cuda', 'webgpu', 'host']);
    const host = backends.at(-1);
    expect((await host?.list())?.map(({ backend }) => backend)).toEqual(['host']);
    expect(await host?.problem()).toBeNull();
    const device = await host?.open(0);
    expect(device?.info.backend).toBe('host');
    await device?.close();
  });
});

import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { examplesOf } from '../support/doc-examples.js';

// The package as a newcomer has it: packed, installed from the file, used by the tools that README.md names.
const root = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);
const REGISTRY = spawnSync('npm', ['view', 'typescript', 'version'], { timeout: 30_000 });
const NO_REGISTRY = REGISTRY.status === 0 ? '' : ' (skipped: no package registry answers)';
const TYPESCRIPTS = { 'TypeScript 5.9': 'ts5', 'TypeScript 6': 'ts6', 'TypeScript 7': 'ts7' } as const;
const [node] = examplesOf('README.md').filter(({ forPages }) => !forPages);
const [page] = examplesOf('README.md').filter(({ forPages }) => forPages);
const PROGRAM = node?.code ?? '';
const IMPORT = /^import \{ ([^}]*) \} from 'vram-residency';\n/;
let folder: string;

async function install(where: string, ...packages: readonly string[]): Promise<void> {
  await run('npm', ['install', '--no-audit', '--no-fund', '--no-save', ...packages], { cwd: where });
}

describe.skipIf(NO_REGISTRY !== '')(`the packed package${NO_REGISTRY}`, () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vram-consumers-'));
    await run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], { cwd: root });
    const [archive = ''] = readdirSync(folder);
    write('package.json', '{"name":"user","private":true}');
    await install(
      folder,
      `./${archive}`,
      'ts5@npm:typescript@5.9',
      'ts6@npm:typescript@6',
      'ts7@npm:typescript@7',
      '@types/node@20',
      '@webgpu/types@0.1',
      'jest@30',
    );
    write('weights.bin', 'weights '.repeat(1000));
  }, 600_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function write(name: string, text: string): string {
    writeFileSync(join(folder, name), text);
    return name;
  }

  const start = (...args: readonly string[]) =>
    run(process.execPath, args, { cwd: folder, env: { ...process.env, VRAM_RESIDENCY_FORCE_HOST: '1' } });

  it('runs the example of README.md as .mjs, and with require() as .cjs', async () => {
    const module = await start(write('use.mjs', PROGRAM), 'weights.bin');
    expect(module.stdout).toMatch(
      /^fsverity-sha256-12:[0-9a-f]{64} host\nverified 8000 bytes in .*\nleased 4\n$/,
    );
    const body = PROGRAM.replace(IMPORT, "const { $1 } = require('vram-residency');\n");
    expect(body).not.toBe(PROGRAM);
    const [first = '', ...rest] = body.split('\n');
    const common = await start(
      write('use.cjs', `${first}\nmain();\nasync function main() {\n${rest.join('\n')}\n}\n`),
      'weights.bin',
    );
    expect(common.stdout.replace(/[\d.]+ ms/, '')).toBe(module.stdout.replace(/[\d.]+ ms/, ''));
  });

  describe.each(Object.entries(TYPESCRIPTS))('%s', (_, alias) => {
    const webgpu = alias === 'ts5' ? ['@webgpu/types'] : [];
    const node16 = { module: 'NodeNext', moduleResolution: 'NodeNext' };
    const bundler = { module: 'ESNext', moduleResolution: 'Bundler', customConditions: ['browser'] };
    const cases = [
      {
        what: 'Node',
        files: ['use.mts', 'use.cts'],
        options: { ...node16, lib: ['ES2023', 'DOM'], types: ['node', ...webgpu] },
      },
      {
        what: 'a page',
        files: ['page.ts'],
        options: { ...bundler, lib: ['ES2023', 'DOM', 'ESNext.Disposable'], types: webgpu },
      },
      {
        what: 'Node with skipLibCheck, without the DOM',
        files: ['use.mts', 'use.cts'],
        options: { ...node16, lib: ['ES2023'], types: ['node'], skipLibCheck: true },
      },
    ];

    it.each(cases)(
      'compiles for $what under the options that README.md tells',
      async ({ files, options }) => {
        // An argument that may be missing is what strict TypeScript asks about first.
        write('use.mts', PROGRAM.replace('process.argv[2]', "process.argv[2] ?? ''"));
        write(
          'use.cts',
          "import { VramManager } from 'vram-residency';\nexport const open = () => VramManager.open({ workerId: 'w' });\n",
        );
        write('page.ts', page?.code ?? '');
        const compilerOptions = { strict: true, noEmit: true, target: 'ES2023', ...options };
        write('tsconfig.json', JSON.stringify({ compilerOptions, files }));
        const compiled = start(`node_modules/${alias}/bin/tsc`, '-p', 'tsconfig.json');
        expect(
          await compiled.then(
            () => '',
            ({ stdout }: { stdout: string }) => stdout,
          ),
        ).toBe('');
      },
    );
  });

  it('runs under Jest with --experimental-vm-modules', async () => {
    write(
      'seals.test.mjs',
      `${PROGRAM.slice(0, PROGRAM.indexOf('\n'))}
       test('seals', async () => {
         const manager = await VramManager.open({ workerId: 'jest', policy: 'any' });
         const source = await fileSource('weights.bin');
         expect((await manager.verify(await manager.seal(source))).verified).toBe(true);
         await source.close();
         await manager.close();
       });`,
    );
    write(
      'jest.config.mjs',
      "export default { testMatch: ['**/*.test.mjs'], moduleFileExtensions: ['mjs', 'js'] };",
    );
    const jest = 'node_modules/jest/bin/jest.js';
    const { stderr } = await start('--experimental-vm-modules', jest, '--config', 'jest.config.mjs');
    expect(stderr).toContain('Tests:       1 passed, 1 total');
  });

  it('is bundled by Parcel once it reads "exports"', { timeout: 600_000 }, async () => {
    const pageFolder = mkdtempSync(join(tmpdir(), 'vram-parcel-'));
    try {
      const place = (name: string, text: string): void => writeFileSync(join(pageFolder, name), text);
      place(
        'package.json',
        '{"name":"page","private":true,"@parcel/resolver-default":{"packageExports":true}}',
      );
      await install(pageFolder, 'parcel@2');
      symlinkSync(
        join(folder, 'node_modules', 'vram-residency'),
        join(pageFolder, 'node_modules', 'vram-residency'),
      );
      place('page.js', page?.code ?? '');
      place('index.html', '<!doctype html><script type="module" src="page.js"></script>');
      const { stdout } = await run('npx', ['parcel', 'build', 'index.html', '--no-cache'], {
        cwd: pageFolder,
      });
      expect(stdout).toMatch(/Built in/);
    } finally {
      rmSync(pageFolder, { recursive: true, force: true });
    }
  });
});

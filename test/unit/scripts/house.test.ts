import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { describe, expect, test } from 'vitest';
import { type HouseFile, readHouse, sourceFiles, specifiersOf } from '../../../scripts/house/imports.mjs';
import { type BrokenWall, brokenWalls, type Plan } from '../../../scripts/house/walls.mjs';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const src = join(root, 'src');
const plan: Plan = JSON.parse(readFileSync(join(root, 'scripts/house/rooms.json'), 'utf8'));
const house = readHouse(src);

/** The house with one import more: of a file, or of a module from elsewhere. */
function withImport(file: string, to: string): HouseFile[] {
  const known = house.some((entry) => entry.file === to);
  if (!house.some((entry) => entry.file === file)) throw new Error(`${file} is not in the house`);
  return house.map((entry) => {
    if (entry.file !== file) return entry;
    return known
      ? { ...entry, imports: [...entry.imports, to] }
      : { ...entry, external: [...entry.external, to] };
  });
}

describe('the house', () => {
  test('no wall is broken', () => {
    expect(brokenWalls(plan, house).map(({ text }) => text)).toEqual([]);
  });

  test('each room says at its door what it is for', () => {
    const doors = house
      .map(({ file }) => file)
      .filter((file) => /(^|\/)index\.ts$/.test(file) && file !== 'index.ts');
    const silent = doors.filter((file) => !/^(\/\/|\/\*\*)/.test(readFileSync(join(src, file), 'utf8')));
    expect(doors.length).toBeGreaterThan(20);
    expect(silent).toEqual([]);
  });

  test('test/unit has the folders of src/, and four more for what is beside it', () => {
    const entries = readdirSync(join(root, 'test/unit'), { withFileTypes: true });
    const rooms = readdirSync(src, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const known = new Set([...rooms.map(({ name }) => name), 'documents', 'examples', 'package', 'scripts']);
    expect(entries.filter((entry) => !entry.isDirectory() || !known.has(entry.name))).toEqual([]);
  });

  const planted: readonly [rule: string, wall: BrokenWall['wall'], file: string, to: string][] = [
    ['no arrow to a higher floor', 'floors', 'digest/layout.ts', 'device/index.ts'],
    ['no arrow to the right on a floor', 'floors', 'base/hex.ts', 'crypto/index.ts'],
    ['no arrow to the right inside a room', 'floors', 'manager/state/core.ts', 'manager/integrity/index.ts'],
    ['no room inside stands on what uses it', 'floors', 'manager/drills/drill.ts', 'manager/manager.ts'],
    ['nothing imports an entry', 'floors', 'cli/run.ts', 'core-exports.ts'],
    ['a room is entered through its index alone', 'doors', 'seal/key.ts', 'base/hex.ts'],
    [
      'a room inside is entered through its index alone',
      'doors',
      'manager/drills/drill.ts',
      'manager/state/core.ts',
    ],
    [
      'a room inside is entered from outside through its parent',
      'doors',
      'cli/run.ts',
      'node/audit/index.ts',
    ],
    ['no circle of files', 'circle', 'seal/payload.ts', 'seal/signature.ts'],
    ['a portable room imports nothing of Node', 'portable', 'models/gguf.ts', 'node:fs'],
    ['a portable room imports no package that needs Node', 'portable', 'narration/console.ts', 'pino'],
    ['a portable room imports no room that needs Node', 'portable', 'manager/manager.ts', 'node/index.ts'],
    ['audit imports base, crypto and events alone', 'apart', 'audit/verify/proof.ts', 'digest/index.ts'],
    ['narration imports base, crypto and events alone', 'apart', 'narration/observer.ts', 'source/index.ts'],
    ['telemetry imports base, crypto and events alone', 'apart', 'telemetry/spans.ts', 'digest/index.ts'],
    ['the manager imports no observer', 'apart', 'manager/operations/seal.ts', 'audit/index.ts'],
    ['a seal knows no narration', 'apart', 'seal/signature.ts', 'narration/index.ts'],
    ['attestation knows no telemetry', 'apart', 'attest/verify.ts', 'telemetry/index.ts'],
    ['devices know no events', 'apart', 'device/select.ts', 'events/index.ts'],
    ['devices know no policy', 'apart', 'device/webgpu/device.ts', 'policy/index.ts'],
    ['devices know no seals', 'apart', 'device/cuda/device.ts', 'seal/index.ts'],
  ];
  test.each(planted)('%s', (_, wall, file, to) => {
    const found = brokenWalls(plan, withImport(file, to)).filter((finding) => finding.wall === wall);
    expect(found).toHaveLength(1);
    expect(found[0]?.text).toContain(file);
    expect(found[0]?.text).toContain(to);
  });

  test('a room that the plan does not name is found', () => {
    const [first, ...rest] = house;
    if (first === undefined) throw new Error('the house is empty');
    const found = brokenWalls(plan, [first, ...rest, { ...first, file: 'attic/box.ts', imports: [] }]);
    expect(found.map(({ wall, from }) => [wall, from])).toEqual([['plan', 'attic']]);
  });

  test('the plan names no room that is not there', () => {
    const folders = new Set(sourceFiles(src).map((file) => dirname(file)));
    const inside = Object.entries(plan.inside).flatMap(([room, rooms]) =>
      rooms.map((one) => `${room}/${one}`),
    );
    const rooms = [...plan.floors.flat().filter((room) => room !== 'entries'), ...inside];
    expect(rooms.filter((room) => !folders.has(room))).toEqual([]);
    expect(plan.portable.filter((room) => !rooms.includes(room))).toEqual([]);
  });

  test('docs/architecture.md shows every floor of the plan, in its order', () => {
    const text = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
    const floors = [...text.matchAll(/^\| (\d+) \| ([^|]*) \|/gm)].map(([, floor, rooms = '']) => [
      Number(floor),
      [...rooms.matchAll(/`([\w-]+)\/?`/g)].map(([, room]) => room),
    ]);
    expect(floors).toEqual([...plan.floors.entries()].map(([floor, rooms]) => [floor, rooms]).reverse());
  });
});

describe('the reader of imports', () => {
  test('reads every form of import, types and import() too, and no comment', () => {
    const text = [
      "// import { no } from './comment.js';",
      "/** `import('./document.js')` */",
      " * import { no } from './example.js';",
      "import plain from './default.js';",
      "import type { T } from './type.js';",
      'import {',
      '  a,',
      '  type B,',
      "} from './lines.js';",
      "import './effect.js';",
      "import * as all from './namespace.js';",
      "export * from './all.js';",
      "export type { T } from './export-type.js';",
      "export { a } from './export.js';",
      "const later = await import('./dynamic.js');",
      "type Code = import('./type-import.js').Code;",
      "import { join } from 'node:path';",
    ].join('\n');
    expect(specifiersOf(text).sort()).toEqual(
      [
        './all.js',
        './default.js',
        './dynamic.js',
        './effect.js',
        './export-type.js',
        './export.js',
        './lines.js',
        './namespace.js',
        './type-import.js',
        './type.js',
        'node:path',
      ].sort(),
    );
  });

  test('finds every import that esbuild finds in src/', async () => {
    const { metafile } = await build({
      entryPoints: house.map(({ file }) => join(src, file)),
      outdir: join(root, '.cache/house'),
      bundle: true,
      // Each file once: every module is an entry, and would be written again with all that it imports.
      splitting: true,
      write: false,
      metafile: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
      logLevel: 'silent',
      absWorkingDir: root,
    });
    const read = new Map(house.map(({ file, imports }) => [file, imports]));
    const edges = Object.entries(metafile.inputs).flatMap(([input, { imports }]) =>
      imports
        .filter(({ external }) => external !== true)
        .map(({ path }) => [relative('src', input), relative('src', path)] as const),
    );
    expect(edges.length).toBeGreaterThan(400);
    expect(edges.filter(([from, to]) => read.get(from)?.includes(to) !== true)).toEqual([]);
  });

  test('every relative path after "from" in src/ is one that it read', () => {
    const missed = house.flatMap(({ file, imports, external }) => {
      const written = readFileSync(join(src, file), 'utf8').matchAll(/^[^*/]*\bfrom '([^']+)';$/gm);
      const modules = new Set(Array.from(written, ([, specifier]) => specifier));
      return modules.size > imports.length + external.length ? [file] : [];
    });
    expect(missed).toEqual([]);
  });
});

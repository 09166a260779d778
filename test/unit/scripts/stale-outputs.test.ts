import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { removeStaleOutputs } from '../../../scripts/stale-outputs.mjs';

const folder = mkdtempSync(join(tmpdir(), 'stale-'));
const write = (path: string): void => {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), '');
};

afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('removes what has no source any more, its folder too, and nothing else', () => {
  const stays = [
    'dist/index.js',
    'dist/index.d.ts',
    'dist/index.js.map',
    'dist/room/a.js',
    'dist/page/style.css',
    'dist/bundle/lib/chunk.js',
  ];
  const goes = ['dist/old.d.ts', 'dist/old.d.ts.map', 'dist/room/moved.js', 'dist/gone/inner/b.js'];
  for (const path of ['src/index.ts', 'src/room/a.ts', ...stays, ...goes]) write(path);
  const removed = removeStaleOutputs(join(folder, 'src'), join(folder, 'dist'), 'bundle');
  expect(removed.map((path) => `dist/${path}`).sort()).toEqual([...goes].sort());
  expect(stays.filter((path) => !existsSync(join(folder, path)))).toEqual([]);
  expect(goes.filter((path) => existsSync(join(folder, path)))).toEqual([]);
  expect(existsSync(join(folder, 'dist/gone'))).toBe(false);
});

it('takes a folder that was never built', () => {
  expect(removeStaleOutputs(join(folder, 'src'), join(folder, 'dist'))).toEqual([]);
});

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { wasmHex } from '../../../src/generated/wasm.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'wasm-'));
afterAll(() => rmSync(folder, { recursive: true }));

function build(name: string, cwd: string): Buffer {
  const out = join(folder, name);
  execFileSync(process.execPath, [join(root, 'scripts/build-wasm.mjs'), out], { cwd });
  return readFileSync(out);
}

describe('the WebAssembly module', () => {
  const first = build('first.wasm', root);

  it('is the same bytes in every build, wherever it is built from, and is what is embedded', () => {
    expect(first.equals(build('second.wasm', folder))).toBe(true);
    expect(first.toString('hex')).toBe(wasmHex);
  });

  it('is under 24 KB, imports nothing, and keeps no names', () => {
    expect(first.length).toBeLessThan(24_000);
    const module = new WebAssembly.Module(new Uint8Array(first));
    expect(WebAssembly.Module.imports(module)).toEqual([]);
    expect(WebAssembly.Module.customSections(module, 'name')).toEqual([]);
    expect(WebAssembly.Module.exports(module).map(({ name }) => name)).toContain('resolve');
  });
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { cli } from '../support/cli.js';
import { findPython, runPython } from '../support/python.js';

const found = findPython(process.env['PYTHON'] ?? 'python3');
const BYTES = Uint8Array.from({ length: 5000 }, (_, k) => (k * 7) & 255);
/** Reads a manifest with the guard's own parser, and compares its digests with the tree in Python. */
const READ = `
import json, sys
from vram_residency.manifest import parse_manifest
from vram_residency.tree import digest_of
data = bytes(k * 7 & 255 for k in range(5000))
parts = {"w": data[:4992], "b": data[4992:4996], "q": data[4996:]}
print(json.dumps([[e.name, e.dtype, list(e.shape), e.fsverity == digest_of(parts[e.name])]
                  for e in parse_manifest(open(sys.argv[1]).read())]))
`;

describe(`the manifest of digest --tensors${found.missing === null ? '' : ` (NOT RUN: ${found.missing})`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'manifest-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.skipIf(found.missing !== null)('is one that the Python guard takes', async () => {
    if (found.missing !== null) throw new Error(found.missing);
    const tensors = {
      w: { dtype: 'BF16', shape: [48, 52], data_offsets: [0, 4992] },
      b: { dtype: 'F32', shape: [], data_offsets: [4992, 4996] },
      q: { dtype: 'F8_E4M3', shape: [4], data_offsets: [4996, 5000] },
    };
    const text = JSON.stringify(tensors);
    const header = new TextEncoder().encode(text.padEnd(Math.ceil(text.length / 8) * 8));
    const length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
    const model = join(folder, 'model.safetensors');
    writeFileSync(model, Buffer.concat([length, header, BYTES]));
    const { code, stdout } = await cli(['digest', '--json', '--tensors', model]);
    expect(code).toBe(0);
    const manifest = join(folder, 'manifest.json');
    writeFileSync(manifest, stdout);
    const read = runPython(found.python, ['-c', READ, manifest], { PYTHONPATH: 'clients/python/src' });
    expect(read.stderr).toBe('');
    expect(JSON.parse(read.stdout)).toEqual(
      Object.entries(tensors).map(([name, { dtype, shape }]) => [name, dtype, shape, true]),
    );
  });
});

import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { examplesOf } from '../support/doc-examples.js';
import { quantizedBlock } from '../support/engine-models.js';
import { prepareVulkan } from '../support/vulkan.js';

// The examples use the built package by its name, as a reader would: npm run build comes first.
const root = fileURLToPath(new URL('../../', import.meta.url));
const { adapter } = await prepareVulkan();
const examples = examplesOf('docs/engines.md').filter(({ forPages }) => !forPages);

describe.skipIf(adapter === 'host')('programs in docs/engines.md (skipped without a WebGPU adapter)', () => {
  let folder: string;

  beforeAll(() => {
    mkdirSync(`${root}.cache`, { recursive: true });
    folder = mkdtempSync(`${root}.cache/engines-`);
    writeFileSync(join(folder, 'model.onnx'), quantizedBlock());
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('are found', () => {
    expect(examples).toHaveLength(1);
  });

  it.each(examples)('$name runs', { timeout: 600_000 }, async ({ code }) => {
    writeFileSync(join(folder, 'example.mjs'), code);
    const vulkan = `import { prepareVulkan } from '${new URL('../support/vulkan.mjs', import.meta.url).href}'; await prepareVulkan();`;
    const { stdout } = await promisify(execFile)(process.execPath, ['example.mjs'], {
      cwd: folder,
      env: { ...process.env, NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(vulkan)}` },
    });
    expect(stdout).toContain('22656 bytes sealed, 0 bytes stay in the graph');
    expect(stdout).toMatch(/\[ 4, 32 \] true \d+ binds of 9 tensors/);
  });
});

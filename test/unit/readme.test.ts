import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const readme = readFileSync(`${root}README.md`, 'utf8');
const model = `${root}node_modules/@ricky0123/vad-web/dist/silero_vad_v5.onnx`;

describe('README.md', () => {
  it('has a library example that runs', () => {
    const [, example = ''] = /```js\n([\s\S]*?)```/.exec(readme) ?? [];
    expect(example).toContain("from 'vram-residency'");
    mkdirSync(`${root}.cache`, { recursive: true });
    const file = `${root}.cache/readme-example.mjs`;
    writeFileSync(file, example);
    // Mock mode: a newcomer's machine may have no Vulkan outside the tests' own.
    const output = execFileSync(process.execPath, [file, model], {
      encoding: 'utf8',
      env: { ...process.env, VRAM_RESIDENCY_FORCE_HOST: '1' },
    });
    expect(output).toContain('c6f20d8519a6ade9804e970bbd5f416222441bfc9c6a6fb0a02498df303ad362 host');
    expect(output).toMatch(/verified 2327524 bytes in \d/);
    expect(output).toContain('leased 4');
  });

  it('links to files that exist', () => {
    const links = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map(([, path = '']) => path);
    expect(links.length).toBeGreaterThan(5);
    expect(links.filter((path) => !existsSync(root + path))).toEqual([]);
  });

  it('names only commands that exist', () => {
    const help = execFileSync(process.execPath, [`${root}dist/node/cli/main.js`, '--help'], {
      encoding: 'utf8',
    });
    const named = [...readme.matchAll(/npx vram-residency (\w+)/g)].map(([, command = '']) => command);
    expect(named.filter((command) => !help.includes(`  ${command} `))).toEqual([]);
  });
});

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { examplesOf } from '../../support/doc-examples.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const readme = readFileSync(`${root}README.md`, 'utf8');
const model = `${root}node_modules/@ricky0123/vad-web/dist/silero_vad_v5.onnx`;
const documents = ['README.md', 'SECURITY.md', ...markdownUnder('docs')];

function markdownUnder(folder: string): string[] {
  return readdirSync(root + folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return markdownUnder(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

interface Link {
  readonly from: string;
  /** From the root. */
  readonly to: string;
  readonly anchor: string;
}

/** Where a document links to within the project. */
function linksOf(from: string): Link[] {
  const text = readFileSync(root + from, 'utf8');
  return [...text.matchAll(/\]\(([^)\s#:]*)(?:#([^)\s]*))?\)/g)].map(([, path = '', anchor = '']) => ({
    from,
    to: path === '' ? from : normalize(join(dirname(from), path)),
    anchor,
  }));
}

/** The anchors that hosts of repositories make of headings, a number behind those that were there, and ids in the text. */
function anchorsOf(path: string): Set<string> {
  const text = readFileSync(root + path, 'utf8');
  const anchors = new Set([...text.matchAll(/<a id="([^"]+)">/g)].map(([, id = '']) => id));
  const counts = new Map<string, number>();
  for (const [, heading = ''] of text.matchAll(/^#+ (.*)$/gm)) {
    const base = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-');
    const count = counts.get(base) ?? 0;
    counts.set(base, count + 1);
    anchors.add(count === 0 ? base : `${base}-${count}`);
  }
  return anchors;
}

describe('README.md', () => {
  it('has a library example that runs', () => {
    const [example] = examplesOf('README.md');
    expect(example?.code).toContain("from 'vram-residency'");
    mkdirSync(`${root}.cache`, { recursive: true });
    const file = `${root}.cache/readme-example.mjs`;
    writeFileSync(file, example?.code ?? '');
    // Mock mode: a newcomer's machine may have no Vulkan outside the tests' own.
    const output = execFileSync(process.execPath, [file, model], {
      encoding: 'utf8',
      env: { ...process.env, VRAM_RESIDENCY_FORCE_HOST: '1' },
    });
    expect(output).toContain('c6f20d8519a6ade9804e970bbd5f416222441bfc9c6a6fb0a02498df303ad362 host');
    expect(output).toMatch(/verified 2327524 bytes in \d/);
    expect(output).toContain('leased 4');
  });

  it('names only commands that exist', () => {
    const help = execFileSync(process.execPath, [`${root}dist/bundle/lib/main.js`, '--help'], {
      encoding: 'utf8',
    });
    const named = [...readme.matchAll(/npx vram-residency (\w+)/g)].map(([, command = '']) => command);
    expect(named.filter((command) => !help.includes(`  ${command} `))).toEqual([]);
  });

  it('names all that pages do not have', async () => {
    const node = await import('../../../src/index.js');
    const page = await import('../../../src/browser.js');
    const [, listed = ''] = /not in pages, because they need Node: ([^.]*)\./.exec(readme) ?? [];
    const names = [...listed.matchAll(/`(\w+)`/g)].map(([, name]) => name);
    expect(names.sort()).toEqual(
      Object.keys(node)
        .filter((name) => !(name in page))
        .sort(),
    );
  });
});

describe('the documents', () => {
  const links = documents.flatMap(linksOf);

  it('link to files and headings that exist', () => {
    expect(links.length).toBeGreaterThan(30);
    const dead = links.filter(
      ({ to, anchor }) =>
        !existsSync(root + to) || (anchor !== '' && !(to.endsWith('.md') && anchorsOf(to).has(anchor))),
    );
    expect(dead).toEqual([]);
  });

  it('are all reached from README.md', () => {
    const reached = new Set(['README.md']);
    // A set is walked to its end, with what is added on the way.
    for (const path of reached) {
      for (const { from, to } of links) if (from === path) reached.add(to);
    }
    expect(documents.filter((path) => !reached.has(path))).toEqual([]);
  });
});

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { findings } from '../../../scripts/figures.mjs';

const work = mkdtempSync(join(tmpdir(), 'figures-'));
afterAll(() => rmSync(work, { recursive: true }));

const PAGE = `# Where the figures come from
## From reports of hardware
| where | report | step | figures |
|---|---|---|---|
| [speed](speed.md#on-a-gpu) | [card](hardware/card.json) | verify | 51.2 ms, 1200 GB/s, 92.3 % |
## Made anew by a command
| where | made by |
|---|---|
| [README](../README.md#fast) | \`npm run bench\` |
| [SECURITY](../SECURITY.md#timing) | \`node bench/timing.mjs\` |
| [decision](decisions/one.md#one) | by hand: the other form is gone |
## Set by the code
| where | set by |
|---|---|
| [waits](limits.md#limits) | \`src/limits.ts\`: \`WAIT_MS = 30_000\`, \`MOST = 4\`; \`src/more.ts\`: \`SIZE = 2\` |
`;

const TREE: Readonly<Record<string, string>> = {
  'docs/figures.md': PAGE,
  'docs/speed.md': '# Speed\n## On a GPU\nVerified in 51.2 ms, 1,200 GB/s, the pipe 92.3 % busy.\n',
  'docs/decisions/one.md': '# One\nIt took 3 s.\n',
  'docs/hardware/card.json': JSON.stringify({
    steps: [{ step: 'verify', figures: { runs: [{ ms: 51.22 }], GBps: 1199.6, pipe: '92.27 %' } }],
  }),
  'README.md':
    '# Fast\nIt takes 4 ms.\n\n```\n9 ms\n```\n<!-- made by x: begin -->\n7 ms\n<!-- made by x: end -->\n',
  'SECURITY.md': '# Timing\nA difference of 18 ns.\n',
  'docs/limits.md': '# Limits\nIt waits 30 s.\n',
  'package.json': '{"scripts": {"bench": "node bench/run.mjs"}}',
  'bench/timing.mjs': '',
  'src/limits.ts': 'const WAIT_MS = 30_000;\nconst MOST = 4;\n',
  'src/more.ts': 'const SIZE = 2;\n',
};

/** The tree with `changed` texts; without those that are null. */
function tree(changed: Readonly<Record<string, string | null>> = {}): string {
  const root = mkdtempSync(join(work, 'tree-'));
  for (const [path, text] of Object.entries({ ...TREE, ...changed })) {
    if (text === null) continue;
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const page = (from: string, to: string) => ({ 'docs/figures.md': PAGE.replace(from, to) });

describe('figures in the documents', () => {
  it('come from where docs/figures.md says', () => {
    expect(findings(fileURLToPath(new URL('../../../', import.meta.url)))).toEqual([]);
  });

  it('are all accounted for in a tree that is in order', () => expect(findings(tree())).toEqual([]));

  it.each([
    [
      'a section without a row',
      { 'docs/new.md': '# New\nIt takes 5 minutes.\n' },
      'docs/new.md#new has the figures 5 minutes',
    ],
    [
      'a row for a section that is gone',
      { 'docs/decisions/one.md': '' },
      'docs/decisions/one.md#one, which does not exist',
    ],
    ['a script that is gone', page('npm run bench', 'npm run race'), 'there is no script race'],
    ['a program that is gone', { 'bench/timing.mjs': null }, 'there is no bench/timing.mjs'],
    ['a row without a command', page('by hand: the other', 'the other'), 'names no command'],
    [
      'a limit that was changed',
      { 'src/limits.ts': 'const WAIT_MS = 20_000; MOST = 4' },
      'has no "WAIT_MS = 30_000"',
    ],
    ['a file that was moved', { 'src/more.ts': null }, 'there is no src/more.ts'],
    [
      'a report that is gone',
      { 'docs/hardware/card.json': null },
      'the report docs/hardware/card.json does not exist',
    ],
    ['a step that is not in the report', page('| verify |', '| seal |'), 'the report has no step seal'],
    ['a figure that the section lacks', page('51.2 ms', '51.3 ms'), 'the section lacks 51.3 ms'],
    [
      'a figure that the report does not have',
      {
        ...page('51.2 ms', '51.3 ms'),
        'docs/speed.md': '# Speed\n## On a GPU\nIn 51.3 ms, 1,200 GB/s, 92.3 %.\n',
      },
      'step verify of the report has no 51.3 ms',
    ],
  ])('%s is found', (_, changed, finding) => {
    expect(findings(tree(changed))).toEqual([expect.stringContaining(finding)]);
  });
});

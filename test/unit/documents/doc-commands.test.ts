import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { ggufFile, ggufTensor, safetensorsFile } from '../../fuzz/build.mjs';
import { commandsOf, documentPaths } from '../../support/doc-examples.js';

const MAIN = fileURLToPath(new URL('../../../dist/bundle/lib/main.js', import.meta.url));
const README = commandsOf('README.md').map(({ command }) => command);
/** In the order of README.md, in one shell. */
const RUN = README.filter((command) =>
  /^(npx(?! vram-residency (serve|status) )|NONCE|\(umask)/.test(command),
);

/** What is not run, by how it begins, and why not. */
const NOT_RUN: readonly (readonly [RegExp, string])[] = [
  [/\[|<|\b(FILE|DIR|MODEL|HEX)\b/, 'a synopsis: its parts in brackets and capitals stand for others'],
  [/^npm ci && npm (run demo|test)$/, 'installs, then runs this very suite or the demo'],
  [
    /^npm ci && npm run demo:web$/,
    'test/browser/demo-page.test.ts builds the page, serves it and clicks through it',
  ],
  [/^npm install /, 'installs: test/slow/consumers.test.ts installs the packed package'],
  [
    /^npx vram-residency (serve|status) /,
    'test/cli/serve.test.ts and test/cli/worker.test.ts run these on sockets of their own',
  ],
  [/^npx vram-residency lend /, 'test/clients/share-cli.test.ts runs it over the test driver'],
  [/^VRAM_RESIDENCY_LIBCUDA=\S+ node examples\/sharing/, 'test/clients/share-story.test.ts runs it'],
  [/^npm run kit$/, 'test/kit/kit.test.ts makes the kit'],
  [/^(scp|ssh) /, 'goes to another machine'],
  [/^npx esbuild page.js /, 'test/browser/bundlers.test.ts runs it, and what it built'],
  [/^npm run sanitize/, 'builds with sanitizers, which takes minutes'],
  [
    /^(PYTHONPATH=\S+ )?(pip|python) /,
    'clients/python/tests and test/slow/python.test.ts run the package of Python',
  ],
  [
    /^(vram-residency serve |curl --unix-socket )/,
    'test/cli/serve.test.ts starts a worker on a socket of its own and asks it',
  ],
  [
    /^(vram-residency (status|audit verify) .*\/vram-residency\/|\(umask 077 && .*admin\.new)/,
    'test/cli/operations.test.ts runs docs/operations.md against a worker',
  ],
  [
    /^(OTEL_\S+ node examples\/otlp|node examples\/prometheus|curl )/,
    'test/unit/examples/observability-examples.test.ts runs these on free ports',
  ],
];

describe('commands in the documents', () => {
  const folder = mkdtempSync(join(tmpdir(), 'vram-commands-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('are run here, or there is a reason why not', () => {
    const left = documentPaths()
      .flatMap(commandsOf)
      .filter(({ path, command }) => path !== 'README.md' || !RUN.includes(command))
      .filter(({ command }) => !NOT_RUN.some(([pattern]) => pattern.test(command)))
      .map(({ path, command }) => `${path}: ${command}`);
    expect(left).toEqual([]);
    expect(RUN.length).toBeGreaterThan(10);
  });

  it('of README.md run as they stand, in their order', { timeout: 120_000 }, () => {
    const data = new Uint8Array(64 * 1024).fill(3);
    const header = { a: { dtype: 'U8', shape: [data.length], data_offsets: [0, data.length] } };
    mkdirSync(join(folder, 'model-folder'));
    writeFileSync(join(folder, 'model.safetensors'), safetensorsFile(header, data));
    writeFileSync(join(folder, 'model-folder', 'model.safetensors'), safetensorsFile(header, data));
    const tensors = [ggufTensor({ name: 'a', dims: [data.length], type: 24 })];
    writeFileSync(join(folder, 'model.gguf'), ggufFile({ tensors, data }));
    // npx itself takes a second for each: what it would start is started. The slow suite has the real one.
    const npx = `npx() { shift; "${process.execPath}" "${MAIN}" "$@"; }`;
    const script = [npx, ...RUN.map((command) => `${command}\necho "exit $?"`)].join('\n');
    const output = execFileSync('bash', ['-c', script], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, VRAM_RESIDENCY_FORCE_HOST: '1', XDG_STATE_HOME: join(folder, 'state') },
    });
    const exits = [...output.matchAll(/^exit (\d+)$/gm)].map(([, code]) => Number(code));
    expect(exits).toEqual(RUN.map((command) => (command.includes('--policy vram-only') ? 3 : 0)));
  });
});

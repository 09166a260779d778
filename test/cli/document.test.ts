import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { COMMAND_NAMES, commandsFor } from '../../src/cli/commands/by-name.js';
import { ErrorReporter } from '../../src/cli/error-reporter.js';
import { EXIT } from '../../src/cli/exit-codes.js';
import { cli, program } from '../support/cli.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const page = await readFile(`${ROOT}docs/cli.md`, 'utf8');

/** The text under a heading, up to the next of its level or above. */
function section(heading: string): string {
  const [, level = '', title = ''] = /^(#+) (.*)$/.exec(heading) ?? [];
  const lines = page.split('\n');
  const begin = lines.indexOf(`${level} ${title}`);
  if (begin < 0) return '';
  const length = lines
    .slice(begin + 1)
    .findIndex((line) => /^#+ /.test(line) && line.indexOf(' ') <= level.length);
  return lines.slice(begin + 1, length < 0 ? undefined : begin + 1 + length).join('\n');
}

/** Of a command, with what it shares. */
function sectionOf(name: string): string {
  const own = section(`### ${name}`);
  return own.includes('(#device-options)') ? `${own}\n${section('## Device options')}` : own;
}

async function allCommands(): Promise<[string, Command][]> {
  const io = {
    stdout: () => undefined,
    stderr: () => undefined,
    stdoutIsTerminal: false,
    stderrIsTerminal: false,
    columns: 80,
    env: {},
    signal: new AbortController().signal,
  };
  const nothing = (): never => {
    throw new Error('no command is run');
  };
  const root = new Command();
  const context = { io, backends: nothing, engine: nothing, main: '', reporter: new ErrorReporter(io) };
  for (const [index, name] of COMMAND_NAMES.entries())
    (await commandsFor([name]))[index]?.(root, context, nothing);
  const leaves = (command: Command, path: string): [string, Command][] => {
    const name = `${path}${command.name()}`;
    return command.commands.length === 0
      ? [[name, command]]
      : command.commands.flatMap((each) => leaves(each, `${name} `));
  };
  return root.commands.flatMap((command) => leaves(command, ''));
}

const commands = await allCommands();

describe('docs/cli.md', () => {
  it.each(commands)(
    'has %s with every option that its help prints, with defaults and choices',
    (name, command) => {
      const text = sectionOf(name);
      expect(text).not.toBe('');
      const options = command
        .createHelp()
        .visibleOptions(command)
        .filter(({ long }) => long !== '--help');
      expect(options.length).toBeGreaterThan(0);
      for (const { flags, defaultValue, defaultValueDescription, argChoices } of options) {
        const row = text.split('\n').find((line) => line.startsWith(`| \`${flags}\` |`)) ?? '';
        expect(row, flags).not.toBe('');
        const given: unknown = defaultValueDescription ?? defaultValue;
        if (given !== undefined) expect(row).toContain(`\`${String(given)}\``);
        // Types of records have a catalogue of their own.
        if (!flags.startsWith('--type'))
          for (const choice of argChoices ?? []) expect(row).toContain(`\`${choice}\``);
      }
      // And none besides.
      const rows = [...text.matchAll(/^\| `(--[^`]+)` \|/gm)].map(([, flags]) => flags);
      expect(rows.sort()).toEqual(options.map(({ flags }) => flags).sort());
    },
  );

  it('has no command besides', () => {
    const headings = [...section('## Commands').matchAll(/^### (.*)$/gm)].map(([, name]) => name);
    expect(headings.sort()).toEqual(commands.map(([name]) => name).sort());
    expect(section('# Command line')).toContain('`help [command]`');
  });

  it('has every environment variable that src reads, and none besides', async () => {
    const files = (await readdir(`${ROOT}src`, { recursive: true })).filter((name) => name.endsWith('.ts'));
    const read = new Set<string>();
    for (const file of files) {
      if (file.startsWith('generated')) continue;
      const code = await readFile(`${ROOT}src/${file}`, 'utf8');
      for (const [, name = ''] of code.matchAll(/\benv(?:\.|\[')([A-Z][A-Z0-9_]+)/g)) read.add(name);
      for (const [, name = ''] of code.matchAll(/\b(VRAM_RESIDENCY_[A-Z_]+)/g)) read.add(name);
    }
    expect([...read]).toEqual(expect.arrayContaining(['XDG_STATE_HOME', 'VRAM_RESIDENCY_LIBCUDA']));
    const rows = [...section('## Environment variables').matchAll(/^\| `([A-Z0-9_]+)` \|/gm)].map(
      ([, name]) => name,
    );
    expect(rows.sort()).toEqual([...read].filter((name) => name !== 'VRAM_RESIDENCY_').sort());
  });

  it('has every exit code', () => {
    const codes = [...section('## Exit codes').matchAll(/^\| ([\d, ]+) \|/gm)].flatMap(([, cell = '']) =>
      cell.split(', '),
    );
    expect(codes.map(Number).sort()).toEqual(Object.values(EXIT).sort());
  });

  it('is what README links to', async () => {
    expect(await readFile(`${ROOT}README.md`, 'utf8')).toContain('(docs/cli.md)');
  });
});

describe('docs/cli.md has every field of the documents of --json', () => {
  const NONCE = 'ab'.repeat(16);
  const HOST = { VRAM_RESIDENCY_FORCE_HOST: '1' };
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vram-document-'));
    vi.stubEnv('XDG_STATE_HOME', join(folder, 'state'));
    const write = (name: string, text: string) => writeFile(join(folder, name), text, { mode: 0o600 });
    await write('weights.bin', 'weights '.repeat(1000));
    const tensor = '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}';
    await write('model.safetensors', `${String.fromCharCode(tensor.length)}${'\0'.repeat(7)}${tensor}!`);
    await write('token', 'correct horse battery staple');
    const audited = ['--audit', '@log', '--token-file', '@token'];
    await run('check', '@weights.bin', ...audited);
    await write('old-checkpoint', await readFile(join(folder, 'log', 'checkpoint'), 'utf8'));
    await run('check', '@weights.bin', ...audited);
    await write('proof', await run('audit', 'prove', '@log', '--seq', '1'));
    await write('statement', await run('attest', 'make', '@weights.bin', '--nonce', NONCE));
    await write('public.pem', await run('attest', 'key'));
  });

  afterAll(async () => {
    vi.unstubAllEnvs();
    await rm(folder, { recursive: true });
  });

  const placed = (args: readonly string[]): string[] => args.map((arg) => arg.replace(/^@/, `${folder}/`));

  async function run(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await cli(placed(args));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return stdout;
  }

  /** Names of fields; those of what another page describes are left out. */
  function fieldsOf(value: unknown, elsewhere: readonly string[]): string[] {
    if (Array.isArray(value)) return value.flatMap((each) => fieldsOf(each, elsewhere));
    if (typeof value !== 'object' || value === null) return [];
    return Object.entries(value).flatMap(([name, inner]) => [
      name,
      ...(elsewhere.includes(name) ? [] : fieldsOf(inner, elsewhere)),
    ]);
  }

  it.each<[string, string[], string[]]>([
    ['check', ['@weights.bin', '@absent'], []],
    ['check', ['@absent', '--expect', '@absent'], []],
    ['digest', ['@weights.bin', '@absent'], []],
    ['digest', ['--tensors', '@model.safetensors'], []],
    ['devices', [], []],
    ['selftest', ['--size', '4096'], []],
    ['drill', ['@weights.bin'], []],
    ['drill', ['@absent'], []],
    ['bench', ['--size', '4096', '--file-size', '4096', '--rounds', '1'], []],
    ['attest make', ['@weights.bin', '--nonce', NONCE], []],
    [
      'attest verify',
      ['@statement', '--public-key', '@public.pem', '--nonce', NONCE],
      ['subject', 'predicate'],
    ],
    ['attest verify', ['@statement', '--public-key', '@public.pem', '--nonce', 'cd'.repeat(16)], []],
    ['attest key', [], []],
    ['audit verify', ['@log', '--token-file', '@token', '--checkpoint', '@old-checkpoint'], []],
    ['audit show', ['@log'], ['records']],
    ['audit prove', ['@log', '--seq', '0'], []],
    ['audit prove', ['@log', '--since', '@old-checkpoint'], []],
    ['audit verify-proof', ['@proof', '--key-file', '@state/vram-residency/checkpoint-cli.key'], []],
    ['audit prune', ['@log', '--token-file', '@token'], []],
    ['audit key', ['@log'], []],
    ['audit export', ['@log', '@tiles'], []],
  ])('%s %j', async (command, args, elsewhere) => {
    const words = [...command.split(' '), ...placed(args), '--json'];
    // It starts the built program itself.
    const { stdout, stderr } = command === 'bench' ? await program(words, HOST) : await cli(words);
    const fields = new Set(fieldsOf(JSON.parse(stdout), elsewhere));
    expect(fields.size, stderr).toBeGreaterThan(1);
    const text = `${sectionOf(command)}\n${section('## Documents of `--json`')}`;
    expect(
      [...fields].filter((name) => !text.includes(`\`${name}\``) && !/^(code|message)$/.test(name)),
    ).toEqual([]);
  });

  it('those of a bad log too', async () => {
    const segment = (await readdir(join(folder, 'log'))).find((name) => name.endsWith('.ndjson')) ?? '';
    const file = join(folder, 'log', segment);
    await writeFile(file, (await readFile(file, 'utf8')).replace('"byteLength":8000', '"byteLength":8001'));
    const { code, stdout } = await cli(
      placed(['audit', 'verify', '@log', '--token-file', '@token', '--json']),
    );
    expect(code).toBe(6);
    const { bad } = JSON.parse(stdout);
    for (const name of Object.keys(bad)) expect(section('### audit verify')).toContain(`\`${name}\``);
  });
});

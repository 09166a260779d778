import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { COMMAND_NAMES, commandsFor } from '../../src/cli/commands/by-name.js';
import { ENVIRONMENT } from '../../src/cli/environment.js';
import { ErrorReporter } from '../../src/cli/error-reporter.js';
import { cli } from '../support/cli.js';

const page = await readFile(fileURLToPath(new URL('../../docs/cli.md', import.meta.url)), 'utf8');

describe('--help', () => {
  it('lists every command as the command tells itself, without loading one', async () => {
    const { code, stdout } = await cli(['--help']);
    expect(code).toBe(0);
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
    const context = { io, backends: nothing, engine: nothing, main: '', reporter: new ErrorReporter(io) };
    const programs = await Promise.all(
      COMMAND_NAMES.map(async (name) => {
        const program = new Command('vram-residency');
        for (const add of await commandsFor([name])) add(program, context, nothing);
        const command = program.commands.find((each) => each.name() === name);
        if (command === undefined) throw new Error(`there is no command ${name}`);
        const helper = program.createHelp();
        return [helper.subcommandTerm(command), helper.subcommandDescription(command)] as const;
      }),
    );
    const words = stdout.replace(/\s+/g, ' ');
    for (const [term, description] of programs) expect(words).toContain(` ${term} ${description} `);
  });

  it('has the environment variables, in the words that docs/cli.md begins with', async () => {
    const { stdout } = await cli(['--help']);
    const words = stdout.slice(stdout.indexOf('Environment variables:')).replace(/\s+/g, ' ');
    for (const [name, effect] of ENVIRONMENT) {
      expect(words).toContain(` ${name} ${effect.replaceAll('`', '')} `);
      expect(page).toContain(`| \`${name}\` | ${effect}`);
    }
    const [, table = ''] = /## Environment variables\n([\s\S]*?)\n## /.exec(page) ?? [];
    const rows = [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
    expect(rows).toEqual(ENVIRONMENT.map(([name]) => name));
  });

  it.each([
    [['help', 'drill'], '--flips'],
    [['drill', '--help'], '--flips'],
    [['attest', 'make', '--help'], '--nonce'],
    [['help', 'audit'], 'verify-proof'],
  ])('of one command has its options: %s', async (args, expected) => {
    const { code, stdout } = await cli(args);
    expect(code).toBe(0);
    expect(stdout).toContain(expected);
    expect(stdout).not.toContain('Environment variables');
  });

  it('knows what a mistyped command may have meant', async () => {
    const { code, stderr } = await cli(['chekc', 'x']);
    expect(code).toBe(2);
    expect(stderr).toContain('(Did you mean check?)');
  });
});

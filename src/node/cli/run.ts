import { Command, CommanderError } from 'commander';
import { isVramError } from '../../errors.js';
import { version } from '../../generated/version.js';
import { commandsFor } from './commands/index.js';
import type { CliContext } from './context.js';
import { combineExitCodes, EXIT, type ExitCode, exitCodeOf } from './exit-codes.js';
import { errorLine } from './output.js';
import { escapeForTerminal } from './text.js';

/** Commander's own codes that are not complaints. */
const SHOWN = new Set(['commander.helpDisplayed', 'commander.help', 'commander.version']);

/** Runs one command line (without the program's name) and gives its exit code. Never throws. */
export async function runCli(args: readonly string[], context: CliContext): Promise<ExitCode> {
  const { io } = context;
  const codes: ExitCode[] = [];
  const program = new Command('vram-residency')
    .description('Seals model weights in GPU memory and verifies them in place, on the GPU.')
    .version(version)
    .showHelpAfterError('(--help shows the options)')
    .exitOverride()
    .configureOutput({
      writeOut: io.stdout,
      // Complaints repeat arguments as they were given.
      writeErr: (text) => io.stderr(text.split('\n').map(escapeForTerminal).join('\n')),
      getErrHelpWidth: () => io.columns,
    });
  try {
    for (const add of await commandsFor(args)) add(program, context, (code) => codes.push(code));
    // Subcommands take over how errors end and where text goes.
    for (const command of allCommands(program)) command.copyInheritedSettings(program).exitOverride();
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError)
      codes.push(SHOWN.has(error.code) && error.exitCode === 0 ? EXIT.ok : EXIT.usage);
    else {
      io.stderr(errorLine(error));
      codes.push(exitCodeOf(error));
      if (!isVramError(error) && io.env['VRAM_RESIDENCY_DEBUG'] === '1' && error instanceof Error) {
        io.stderr(`${error.stack ?? ''}\n`);
      }
    }
  }
  if (io.signal.aborted) codes.push(EXIT.interrupted);
  return combineExitCodes(codes);
}

function allCommands(program: Command): Command[] {
  return program.commands.flatMap((command) => [command, ...allCommands(command)]);
}

import { Command, CommanderError } from 'commander';
import { isVramError, VramError } from '../base/index.js';
import { version } from '../generated/version.js';
import { commandsFor } from './commands/index.js';
import type { CliContext } from './context.js';
import { environmentHelp } from './environment.js';
import { ErrorReporter } from './error-reporter.js';
import { concludingCode, EXIT, type ExitCode, exitCodeOf } from './exit-codes.js';
import { stopOf } from './stop.js';
import { escapeForTerminal } from './text.js';

/** Commander's own codes that are not an errors. */
const SHOWN = new Set(['commander.helpDisplayed', 'commander.help', 'commander.version']);

/** Runs one command line (without the program's name) and gives its exit code. Never throws. */
export async function runCli(args: readonly string[], context: CliContext): Promise<ExitCode> {
  const { io } = context;
  const codes: ExitCode[] = [];
  const reporter = new ErrorReporter(io);
  const program = new Command('vram-residency')
    .description('Seals model weights in GPU memory and verifies them in place, on the GPU.')
    .version(version)
    .showHelpAfterError('(--help shows the options)')
    .exitOverride()
    .configureOutput({
      writeOut: io.stdout,
      // Messages repeat arguments as they were given.
      writeErr: (text) => io.stderr(text.split('\n').map(escapeForTerminal).join('\n')),
      getErrHelpWidth: () => io.columns,
    });
  try {
    program.addHelpText('after', ({ command }) => environmentHelp(command));
    const commandContext = { ...context, reporter };
    for (const add of await commandsFor(args)) add(program, commandContext, (code) => codes.push(code));
    program.hook('preAction', (_program, command) => reporter.about(command));
    // Subcommands take over how errors end and where text goes.
    for (const command of allCommands(program)) command.copyInheritedSettings(program).exitOverride();
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError)
      codes.push(SHOWN.has(error.code) && error.exitCode === 0 ? EXIT.ok : EXIT.usage);
    else if (io.signal.aborted && error === io.signal.reason) {
      // Thrown as it is by what waits on the signal itself.
      reporter.report(new VramError('ABORTED', 'the operation was aborted by its signal'));
      codes.push(EXIT.interrupted);
    } else {
      reporter.report(error);
      codes.push(exitCodeOf(error));
      if (!isVramError(error) && io.env['VRAM_RESIDENCY_DEBUG'] === '1' && error instanceof Error) {
        io.stderr(`${error.stack ?? ''}\n`);
      }
    }
  }
  const stopped = io.signal.aborted ? (stopOf(io.signal)?.exitCode ?? EXIT.interrupted) : null;
  return concludingCode(codes, stopped);
}

function allCommands(program: Command): Command[] {
  return program.commands.flatMap((command) => [command, ...allCommands(command)]);
}

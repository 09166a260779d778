import { Option } from 'commander';
import type { AddCommand } from '../context.js';

interface Listed {
  /** As the command itself declares it: a test compares the two. */
  readonly operand?: string;
  readonly hasOptions: boolean;
  readonly description: string;
  readonly load: () => Promise<AddCommand>;
}

/** Every command with its help line, in the order of the help. Each is loaded on demand. */
const COMMANDS: Readonly<Record<string, Listed>> = {
  check: {
    operand: '[file...]',
    hasOptions: true,
    description: 'seal files into device memory, verify them in place, report, and release them',
    load: async () => (await import('./check.js')).addCheck,
  },
  digest: {
    operand: '<file...>',
    hasOptions: true,
    description: 'print the fs-verity digest of files, or their SHA-256',
    load: async () => (await import('./digest.js')).addDigest,
  },
  devices: {
    hasOptions: true,
    description: 'list the devices, where their memory lives, and what is missing',
    load: async () => (await import('./devices.js')).addDevices,
  },
  selftest: {
    hasOptions: true,
    description: 'prove known answers on a device, try to write sealed memory, and measure',
    load: async () => (await import('./selftest.js')).addSelftest,
  },
  drill: {
    operand: '[file]',
    hasOptions: true,
    description:
      'check a file, then flip bits of it in device memory and show that they are found and healed',
    load: async () => (await import('./drill.js')).addDrill,
  },
  lend: {
    operand: '<name=path...>',
    hasOptions: true,
    description: 'seal models into GPU memory and lend them to other processes over a Unix socket',
    load: async () => (await import('./lend.js')).addLend,
  },
  attest: {
    hasOptions: false,
    description: 'make and check signed residency statements',
    load: async () => (await import('./attest.js')).addAttest,
  },
  audit: {
    hasOptions: false,
    description: 'verify, show, prove, prune and export an audit log',
    load: async () => (await import('./audit.js')).addAudit,
  },
  serve: {
    hasOptions: true,
    description: 'hold models sealed and verified in device memory, and serve them over HTTP until stopped',
    load: async () => (await import('./serve.js')).addServe,
  },
  status: {
    hasOptions: true,
    description: 'ask a worker on this host what it holds, and whether all of it is well',
    load: async () => (await import('./status.js')).addStatus,
  },
  bench: {
    hasOptions: true,
    description: 'measure against peers on this machine, as ratios',
    load: async () => (await import('./bench.js')).addBench,
  },
};

export const COMMAND_NAMES: readonly string[] = Object.keys(COMMANDS);

/**
 * The commands for one command line. The one that the arguments name is loaded; of the others there is what the help lists
 * of them, and what a mistyped name may have meant.
 */
export async function commandsFor(args: readonly string[]): Promise<readonly AddCommand[]> {
  const named = args.find((arg) => arg !== 'help' && !arg.startsWith('-'));
  const adding = Object.entries(COMMANDS).map(([name, listed]) =>
    name === named ? listed.load() : lineOf(name, listed),
  );
  return await Promise.all(adding);
}

/** It has no action: it cannot be the command that runs. */
function lineOf(name: string, { operand, hasOptions, description }: Listed): AddCommand {
  return (program) => {
    const command = program.command(name).description(description);
    if (operand !== undefined) command.argument(operand);
    if (hasOptions) command.addOption(new Option('--option').hideHelp());
  };
}

import type { Command, Option } from 'commander';
import { VramError } from '../base/index.js';

/** The options that fill the library's arguments, where their names differ by more than hyphens. */
const OPTIONS: Readonly<Record<string, readonly string[]>> = {
  budgetBytes: ['budget'],
  dir: ['audit'],
  expected: ['expect'],
  keyFile: ['key-file', 'attestation-key'],
  patterns: ['pattern'],
  shardId: ['shard'],
  token: ['token-file'],
};

/** The arguments of commands that fill the library's, likewise. */
const OPERANDS: Readonly<Record<string, string>> = { attestation: 'file', path: 'file', proof: 'file' };

/** How messages name arguments that were not typed; empty where the file behind one is already named. */
const PHRASES: Readonly<Record<string, string>> = {
  path: '',
  source: 'the file ',
  keyFile: 'the key file ',
  checkpointKey: "the key file of the audit log's checkpoints ",
};

const BUDGET = /\bbudgetBytes\b/g;
const TRUST_OWNER = /\btrustOwner: (?=\d)/;
const SHARD_LIMIT = /\bmaxShardBytes\b/g;
/** Options of which the value may be repeated: paths and public values. */
const REPEATED = /<(file|dir|digest|line)>/;

/**
 * The message of one of the library's errors in the words of the command line: it names the option that was given, not the
 * argument that this fills. With `values` it repeats a path as well; only a terminal gets that.
 */
export function inOptionWords(
  error: VramError,
  command: Command | null,
  { values }: { readonly values: boolean },
): string {
  const { argument, message } = error;
  const named = `"${argument ?? ''}" `;
  const text = message.startsWith(named)
    ? `${subject(error, command, values) ?? named}${message.slice(named.length)}`
    : message;
  const worded = text
    .replace(BUDGET, '--budget')
    .replace(SHARD_LIMIT, 'a shard may have')
    .replace(TRUST_OWNER, '--trust-owner ');
  return values ? `${worded}${unnamedPath(error, worded)}` : worded;
}

/** The file that the system could not serve, where the message does not name it. */
function unnamedPath({ cause }: VramError, worded: string): string {
  if (cause instanceof VramError) return unnamedPath(cause, worded);
  if (!(cause instanceof Error) || !('path' in cause) || typeof cause.path !== 'string') return '';
  // A file of a folder is opened through the folder's descriptor, whose number is meaningless to readers.
  if (cause.path.startsWith('/proc/self/fd/')) return '';
  return worded.includes(JSON.stringify(cause.path).slice(1, -1)) ? '' : ` (${JSON.stringify(cause.path)})`;
}

/** What was wrong, with a space behind it, or null where the library's own name is the best there is. */
function subject(
  { argument = '', message }: VramError,
  command: Command | null,
  values: boolean,
): string | null {
  if (argument.startsWith('VRAM_RESIDENCY_')) return `${argument} `;
  const names = OPTIONS[argument] ?? [hyphened(argument)];
  const option = command?.options.find(({ long }) => names.some((name) => long === `--${name}`));
  if (command && option) return `${option.long ?? ''}${values ? givenValue(command, option) : ''} `;
  const operand = OPERANDS[argument] ?? argument;
  const place = command?.registeredArguments.findIndex((each) => each.name() === operand) ?? -1;
  const value: unknown = command?.processedArgs[place];
  // Of several files the one that failed is named by who complains.
  if (typeof value === 'string') {
    const quoted = JSON.stringify(value);
    if (!values) return `<${operand}> `;
    return message.includes(quoted) ? '' : `${quoted} `;
  }
  return PHRASES[argument] ?? null;
}

function givenValue(command: Command, option: Option): string {
  const value: unknown = command.getOptionValue(option.attributeName());
  return typeof value === 'string' && REPEATED.test(option.flags) ? ` ${JSON.stringify(value)}` : '';
}

function hyphened(argument: string): string {
  return argument.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

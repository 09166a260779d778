import { type Command, InvalidArgumentError, Option } from 'commander';
import { checkId, checkLabel, VramError } from '../base/index.js';
import { MAX_UID, readInput } from '../node/index.js';
import { REQUIREMENTS, type Requirement } from './require.js';

export const POLICIES = ['vram-only', 'gpu', 'any'] as const;
export type PolicyName = (typeof POLICIES)[number];

/** Common to the commands that open a device. */
export interface DeviceOptions {
  readonly device: string;
  readonly require?: Requirement | undefined;
  readonly policy: PolicyName;
  readonly budget?: number | undefined;
  readonly audit?: string | undefined;
  readonly trustOwner?: number | undefined;
  readonly tokenFile?: string | undefined;
  readonly workerId: string;
  readonly correlationId?: string | undefined;
  readonly verbose?: boolean | undefined;
  readonly log?: 'json' | 'pretty' | undefined;
  readonly json?: boolean | undefined;
}

const BYTE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/** Bytes: a whole number, optionally followed by KiB, MiB or GiB. */
export function parseBytes(text: string): number {
  const match = /^(\d{1,16})(KiB|MiB|GiB)?$/.exec(text);
  const bytes = match === null ? Number.NaN : Number(match[1]) * (BYTE_UNITS[match[2] ?? ''] ?? Number.NaN);
  if (!Number.isSafeInteger(bytes) || bytes < 1) {
    throw new InvalidArgumentError('It must be a whole number of bytes, such as 536870912 or 512MiB.');
  }
  return bytes;
}

export function parseDevice(text: string): string {
  if (!/^(auto|host|(cuda|webgpu):\d{1,4})$/.test(text)) {
    throw new InvalidArgumentError('It must be auto, host, cuda:N or webgpu:N.');
  }
  return text;
}

/** Turns a check that throws INVALID_INPUT into commander's own complaint about the option. */
function checkedBy(check: (argument: string, value: unknown) => string, argument: string) {
  return (text: string): string => {
    try {
      return check(argument, text);
    } catch (error) {
      if (error instanceof VramError) throw new InvalidArgumentError(error.message);
      throw error;
    }
  };
}

/** A whole number from `min` on. */
export function parseCount(min: number, max: number) {
  return (text: string): number => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) {
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

export function jsonOption(command: Command): Command {
  return command.option('--json', 'print one JSON document on stdout, nothing else');
}

/** Exit code 5 unless such a device does the work. */
export function requireOption(): Option {
  return new Option('--require <what>', 'fail (5) without such a device, instead of taking another').choices([
    ...REQUIREMENTS,
  ]);
}

export function deviceOptions(command: Command, defaultPolicy: PolicyName = 'any'): Command {
  return jsonOption(command)
    .addOption(
      new Option('--device <device>', 'auto, cuda:N, webgpu:N or host')
        .default('auto')
        .argParser(parseDevice),
    )
    .addOption(requireOption())
    .addOption(
      new Option('--policy <policy>', 'where weights may live').choices([...POLICIES]).default(defaultPolicy),
    )
    .addOption(new Option('--budget <bytes>', 'most device memory to use').argParser(parseBytes))
    .option('--audit <dir>', 'write the audit log to this directory (needs --token-file)')
    .addOption(trustOwnerOption())
    .option('--token-file <file>', 'the worker token; without it keys live as long as this process')
    .addOption(
      new Option('--worker-id <id>', 'who seals').default('cli').argParser(checkedBy(checkId, 'worker-id')),
    )
    .addOption(
      new Option('--correlation-id <id>', 'joins this run with what caused it').argParser(
        checkedBy(checkLabel, 'correlation-id'),
      ),
    )
    .option('--verbose', 'tell each step in a sentence, on stderr')
    .addOption(new Option('--log <form>', 'log every step on stderr').choices(['json', 'pretty']));
}

/** For the commands that read a private file, or write where others might. */
export function trustOwnerOption(): Option {
  const meaning =
    'a user id that is trusted with private files and the directories of log, keys and sockets, beside yours and root';
  return new Option('--trust-owner <uid>', meaning).argParser(parseCount(0, MAX_UID));
}

const MAX_TOKEN_BYTES = 65_536;

/**
 * The token: exactly the file's bytes, less one trailing newline. The caller zeroes it. A file that others can read or
 * write is refused, as key files are; a link or a pipe (`<(...)`, /dev/stdin) is read. Errors: INVALID_INPUT, ABORTED.
 */
export async function readToken(
  path: string,
  { trustOwner, signal }: { readonly trustOwner?: number | undefined; readonly signal?: AbortSignal } = {},
): Promise<Uint8Array> {
  const bytes = await readInput('token-file', path, {
    maxBytes: MAX_TOKEN_BYTES,
    secret: true,
    trustOwner,
    signal,
  });
  const end = bytes.at(-1) === 0x0a ? bytes.length - 1 : bytes.length;
  // A copy: Buffer's own slice() would share the memory that is zeroed next.
  const token = Uint8Array.from(bytes.subarray(0, end));
  bytes.fill(0);
  return token;
}

import type { Command } from 'commander';
import type { ShardOutcome, WorkerStatus } from '../api-schema/index.js';
import { invalidInput } from '../base/index.js';
import { escapeForTerminal, formatMs } from './text.js';

/** Help of a command that uses a worker instead of opening a device. */
const ASKED_WITH: readonly string[] = ['worker', 'tokenFile', 'trustOwner', 'json'];

/** Refuses options that say how a device is opened or a file is sealed: the worker has done both. Errors: INVALID_INPUT. */
export function requireWorkerOptions(command: Command, own: readonly string[] = []): void {
  for (const option of command.options) {
    const name = option.attributeName();
    if (command.getOptionValueSource(name) !== 'cli' || ASKED_WITH.includes(name) || own.includes(name))
      continue;
    throw invalidInput(
      name,
      'cannot be given with --worker: it was set when the worker started or loaded the model',
    );
  }
}

/** What commander says of an operand that must be given: where a worker is asked it need not be. */
export function missingOperand(command: Command, name: string): never {
  return command.error(`error: missing required argument '${name}'`, { code: 'commander.missingArgument' });
}

/** The worker, as documents of `--json` name it. */
export function workerJson({
  workerId,
  instance,
  state,
  reason,
  device,
}: WorkerStatus): Record<string, unknown> {
  const { id, name, residency, execution } = device;
  return { workerId, instance, state, reason, device: { id, name, residency, execution } };
}

export function workerText({ workerId, state, reason, device }: WorkerStatus): string {
  const { id, name, residency, execution } = device;
  return (
    `worker    ${escapeForTerminal(`${workerId}  ${state}${reason === null ? '' : `: ${reason}`}`)}\n` +
    `device    ${escapeForTerminal(`${id}  ${name} (${residency}, ${execution})`)}\n`
  );
}

/** One shard that a worker has verified. */
export function verifiedText({ label, durationMs, fsverity, ok }: ShardOutcome): string {
  if (!ok) return '';
  const time = durationMs === null ? '' : ` in ${formatMs(durationMs)}`;
  return (
    `  verified  in place${time}: ${escapeForTerminal(label)}, every byte is as sealed\n` +
    `  fsverity  ${escapeForTerminal(fsverity ?? 'not reported')}\n`
  );
}

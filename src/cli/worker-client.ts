import { resolve } from 'node:path';
import { invalidInput, VramError } from '../base/index.js';
import { WorkerClient, WorkerError } from '../client/index.js';
import { isErrorCode } from './exit-codes.js';
import type { CliIo } from './io.js';
import { readToken } from './options.js';
import { requireSafeSocket } from './worker-socket.js';

/** A worker's address and the credentials for it. */
export interface WorkerOptions {
  readonly worker: string;
  readonly tokenFile?: string | undefined;
  readonly trustOwner?: number | undefined;
}

/** A client of the worker on that socket. Errors: INVALID_INPUT, ABORTED. */
export async function workerClient(
  { worker, tokenFile, trustOwner }: WorkerOptions,
  { signal }: CliIo,
): Promise<WorkerClient> {
  await requireSafeSocket(worker, trustOwner);
  const token = tokenFile === undefined ? undefined : await bearer(tokenFile, trustOwner, signal);
  return new WorkerClient({ socket: resolve(worker), token });
}

/**
 * Maps a failed request to an error with an exit code: the library's own codes stay; no answer, a late answer and a
 * refusal by the service become INVALID_INPUT.
 */
export function asVramError(error: unknown): unknown {
  if (!(error instanceof WorkerError)) return error;
  const { code, status, message } = error;
  if (isErrorCode(code)) return new VramError(code, message, { cause: error });
  return invalidInput(
    'worker',
    status === null ? `does not answer: ${message}` : `refused: ${message}`,
    error,
  );
}

/** One of a model's failures, likewise. */
export function failureAsError({
  code,
  detail,
}: {
  readonly code: string;
  readonly detail: string;
}): VramError {
  return isErrorCode(code) ? new VramError(code, detail) : invalidInput('worker', `refused: ${detail}`);
}

async function bearer(file: string, trustOwner: number | undefined, signal: AbortSignal): Promise<string> {
  const bytes = await readToken(file, { trustOwner, signal });
  // A header is text: the string cannot be zeroed, and lives as long as the client.
  const [first = ''] = new TextDecoder().decode(bytes).split('\n');
  bytes.fill(0);
  if (!/^[\x21-\x7e]{1,4096}$/.test(first)) {
    throw invalidInput(
      'token-file',
      'must begin with a line that is a bearer token: printable characters alone',
    );
  }
  return first;
}

import type { ModelView, WorkerStatus } from '../../api-schema/index.js';
import type { AddCommand } from '../context.js';
import { EXIT } from '../exit-codes.js';
import { jsonOption, trustOwnerOption } from '../options.js';
import { jsonDocument } from '../output.js';
import { escapeForTerminal, formatMs, formatSize } from '../text.js';
import { asVramError, type WorkerOptions, workerClient } from '../worker-client.js';

const DEFAULT_SOCKET = '/run/vram-residency/worker.sock';

interface StatusOptions extends WorkerOptions {
  readonly json?: boolean;
}

/** `status`: what a worker holds, and whether it is well. */
export const addStatus: AddCommand = (program, { io }, done) => {
  jsonOption(program.command('status'))
    .description('ask a worker on this host what it holds, and whether all of it is well')
    .option('--worker <socket>', "the worker's Unix socket", DEFAULT_SOCKET)
    .option('--token-file <file>', 'a bearer token that may read')
    .addOption(trustOwnerOption())
    .action(async ({ worker, tokenFile, trustOwner, json }: StatusOptions) => {
      const client = await workerClient({ worker, tokenFile, trustOwner }, io);
      const answer = await client.status({ signal: io.signal }).catch((error: unknown) => {
        throw asVramError(error);
      });
      io.stdout(json === true ? jsonDocument({ v: 1, status: answer }) : statusText(answer, Date.now()));
      done(answer.reason === null && !answer.models.some(isIll) ? EXIT.ok : EXIT.verification);
    });
};

function isIll({ state, next }: ModelView): boolean {
  return state === 'damaged' || state === 'failed' || (next !== null && next.failure !== null);
}

export function statusText(status: WorkerStatus, nowMs: number): string {
  const { device, capacity } = status;
  const total = capacity.totalBytes === null ? '' : ` of ${formatSize(capacity.totalBytes)}`;
  const reserved =
    status.reservations === 0
      ? ''
      : `, ${status.reservations} plans hold ${formatSize(capacity.reservedBytes)}`;
  const lines = [
    `worker    ${status.workerId}  ${status.state}${status.reason === null ? '' : `: ${status.reason}`}`,
    `device    ${device.id}  ${device.name} (${device.residency}, ${device.execution})`,
    `memory    ${formatSize(capacity.usedBytes)}${total} used by shards${reserved}`,
    ...workLine(status),
    ...(status.models.length === 0
      ? ['models    none']
      : status.models.flatMap((model) => modelLines(model, nowMs))),
  ];
  // All of it is reported by another process.
  return `${lines.map(escapeForTerminal).join('\n')}\n`;
}

function modelLines(model: ModelView, nowMs: number): string[] {
  const { name, generation, state, byteLength, shards, progress, failure, next } = model;
  const parts = [formatSize(byteLength)];
  if (shards.length > 1) parts.push(`${shards.length} shards`);
  const damaged = shards.filter(({ quarantined }) => quarantined).length;
  if (damaged > 0) parts.push(`${damaged} DAMAGED`);
  if (progress !== null) parts.push(`${percent(progress)} loaded`);
  const verified = shards.map(({ lastVerifiedAt }) => lastVerifiedAt);
  const verifiedAt = oldest(verified);
  if (verifiedAt !== null) parts.push(`all verified within ${formatMs(Math.max(0, nowMs - verifiedAt))}`);
  const never = verified.filter((at) => at === null).length;
  if (never > 0) parts.push(`${never} never verified`);
  const scrubbedAt = oldest(shards.map(({ lastScrubbedAt }) => lastScrubbedAt));
  if (scrubbedAt !== null) parts.push(`scrubbed within ${formatMs(Math.max(0, nowMs - scrubbedAt))}`);
  const lines = [`model     ${name}@${generation}  ${state}  ${parts.join(', ')}`];
  if (failure !== null) lines.push(`          ${failure.detail} [${failure.code}]`);
  if (next === null) return lines;
  const what =
    next.failure === null
      ? `${next.progress === null ? '' : percent(next.progress)} loaded`
      : `failed: ${next.failure.detail} [${next.failure.code}]`;
  return [...lines, `          next: @${next.generation}  ${what}`];
}

/** What others do with the models, where they do anything. */
function workLine({ executions, share }: WorkerStatus): string[] {
  const parts: string[] = [];
  if (executions.running + executions.queued > 0) {
    parts.push(`${executions.running} executions running, ${executions.queued} waiting`);
  }
  if (share !== null) parts.push(`${share.leases} leases on ${share.models.length} shared models`);
  return parts.length === 0 ? [] : [`work      ${parts.join('; ')}`];
}

/** Milliseconds since 1970; null where one of them is not known, or there is none. */
function oldest(times: readonly (string | null)[]): number | null {
  let least: number | null = null;
  for (const time of times) {
    if (time === null) return null;
    least = Math.min(least ?? Number.POSITIVE_INFINITY, Date.parse(time));
  }
  return least;
}

function percent({ bytes, totalBytes }: { readonly bytes: number; readonly totalBytes: number }): string {
  return `${totalBytes === 0 ? 0 : Math.floor((bytes * 100) / totalBytes)} %`;
}

import { AUDIT_CATALOGUE, type AuditData, type AuditType } from '../../../../src/audit/format/catalogue.js';
import { signCheckpoint } from '../../../../src/audit/format/checkpoint.js';
import { KeyRatchet } from '../../../../src/audit/format/keys.js';
import { segmentStem } from '../../../../src/audit/format/segment.js';
import { type AuditReport, formatVerifierKey, verifierKey } from '../../../../src/audit/index.js';
import type { AuditFault, BadRecord } from '../../../../src/audit/verify/segment-verifier.js';
import { type LogSource, type VerifyLogOptions, verifyLog } from '../../../../src/audit/verify/verifier.js';
import { Chain, emptyChain } from '../../../../src/audit/write/chain.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { memoryLogSource } from '../../../support/memory-log-source.js';
import { TOKEN, WORKER } from '../events.js';
import { testSigner } from '../signer.js';

export const LOG_ID = 'fe'.repeat(16);

export const ORIGIN = `vram-residency/${WORKER}/${LOG_ID}`;

export const ZEROS = '0'.repeat(64);

export const signer = testSigner(9);

export const NO_EXTERNAL =
  'A tail removed together with its checkpoints is not detected: compare with a checkpoint from elsewhere.';

export interface Given {
  readonly ts: string;
  readonly type?: AuditType;
  readonly data?: AuditData;
}

export interface SegmentFile {
  readonly stem: string;
  readonly lines: readonly string[];
}

export interface Log {
  readonly segments: readonly SegmentFile[];
  readonly lines: readonly string[];
  /** The checkpoint of the first N records at index N. */
  readonly notes: readonly string[];
}

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

export const fileOf = (lines: readonly string[]): Uint8Array =>
  utf8(lines.map((line) => `${line}\n`).join(''));

export const noon = (day: number): string => `2026-03-${String(day).padStart(2, '0')}T12:00:00.000Z`;

export const ownKey = async (seed = 9, origin = ORIGIN): Promise<string> =>
  formatVerifierKey(await verifierKey(nodeCrypto, origin, testSigner(seed).publicKey));

export function memberOf(line: string | undefined, member: string): string {
  const value = (JSON.parse(line ?? '{}') as Record<string, unknown>)[member];
  return typeof value === 'string' ? value : '';
}

/** A log of the records given, each day a segment of its own, with a checkpoint at every size. */
export async function write(given: readonly Given[], logId = LOG_ID): Promise<Log> {
  const ratchet = await KeyRatchet.fromToken(nodeCrypto, TOKEN, WORKER, logId);
  const chain = new Chain(nodeCrypto, emptyChain(nodeCrypto, WORKER, logId, ratchet));
  const segments: { stem: string; lines: string[] }[] = [];
  const notes: string[] = [];
  const sign = async (): Promise<void> => {
    const head = { origin: chain.origin, size: chain.size, root: await chain.root() };
    notes.push((await signCheckpoint(nodeCrypto, head, signer)).note);
  };
  await sign();
  for (const { ts, type = 'audit.closed', data = {} } of given) {
    const { severity } = AUDIT_CATALOGUE[type];
    const draft = { type, severity, ts, correlationId: null, traceparent: null, data };
    const { segment, bytes } = await chain.append(draft);
    const stem = segmentStem(segment);
    if (segments.at(-1)?.stem !== stem) segments.push({ stem, lines: [] });
    segments.at(-1)?.lines.push(new TextDecoder().decode(bytes.subarray(0, -1)));
    await sign();
  }
  return { segments, lines: segments.flatMap(({ lines }) => lines), notes };
}

export function sourceOf(
  segments: readonly SegmentFile[],
  checkpoint: string | null,
  changed: Partial<LogSource> = {},
): LogSource {
  const files = segments.map(({ stem, lines }) => ({ stem, bytes: fileOf(lines) }));
  return { ...memoryLogSource(nodeCrypto, files, checkpoint), ...changed };
}

export const verify = (
  source: LogSource,
  options: VerifyLogOptions = { token: TOKEN },
): Promise<AuditReport> => verifyLog(nodeCrypto, source, options);

export const bad = (
  seq: number | null,
  segment: string | null,
  offset: number | null,
  reason: AuditFault,
  message: string,
): BadRecord => ({ seq, segment, offset, reason, message });

export function edited(
  log: Log,
  segment: number,
  edit: (lines: readonly string[]) => readonly string[],
): SegmentFile[] {
  return log.segments.map((each, index) => (index === segment ? { ...each, lines: edit(each.lines) } : each));
}

import { checkId, checkToken, toHex } from '../../base/index.js';
import type { CryptoProvider, Signer } from '../../crypto/index.js';
import { type AuditData, formatVerifierKey, KeyRatchet, logOrigin, verifierKey } from '../format/index.js';
import { Chain, emptyChain } from './chain.js';
import { AuditLog } from './log.js';
import type { AuditLogOptions } from './log-options.js';
import { RecordedSecret } from './secret.js';
import type { AuditSink } from './sink.js';

const LOG_ID_BYTES = 16;

/** What an audit log over sinks of the caller needs. */
export interface AuditObserverOptions extends AuditLogOptions {
  /** One or several; all receive the same lines. */
  readonly sink: AuditSink | readonly AuditSink[];
  readonly workerId: string;
  /**
   * At least 16 bytes, not all zero. Keys are derived from it before this function's promise resolves; the caller zeroes it
   * then.
   */
  readonly token: Uint8Array;
  readonly crypto: CryptoProvider;
  /** Signs checkpoints; without one there are none. */
  readonly signer?: Signer | undefined;
}

/**
 * A new log on the given sinks, opened: its record 0 is written. For a log that outlives the process see
 * `openAuditDirectory`.
 * Errors: INVALID_INPUT, AUDIT_FAILED.
 */
export async function auditObserver(options: AuditObserverOptions): Promise<AuditLog> {
  const { crypto } = options;
  const workerId = checkId('workerId', options.workerId);
  const logId = newLogId(crypto);
  const secret = new RecordedSecret(checkToken('token', options.token));
  secret.refuseIn('workerId', workerId);
  const ratchet = await KeyRatchet.fromToken(crypto, options.token, workerId, logId);
  const chain = new Chain(crypto, emptyChain(crypto, workerId, logId, ratchet));
  const sinks: readonly AuditSink[] = isList(options.sink) ? options.sink : [options.sink];
  const signer = options.signer ?? null;
  const log = new AuditLog({ crypto, chain, sinks, signer, secret }, options);
  await log.record('audit.opened', await openedData(crypto, workerId, logId, signer, false));
  return log;
}

export function newLogId(crypto: CryptoProvider): string {
  return toHex(crypto.randomBytes(LOG_ID_BYTES));
}

/** The data of `audit.opened`. */
export async function openedData(
  crypto: CryptoProvider,
  workerId: string,
  logId: string,
  signer: Signer | null,
  resumed: boolean,
): Promise<AuditData> {
  const origin = logOrigin(workerId, logId);
  const key = signer === null ? null : await verifierKey(crypto, origin, signer.publicKey);
  return { logId, origin, verifierKey: key === null ? null : formatVerifierKey(key), resumed };
}

function isList(sink: AuditSink | readonly AuditSink[]): sink is readonly AuditSink[] {
  return Array.isArray(sink);
}

// A file of its own: bundlers load the log apart from the manager where a page asks for them apart.
import { type AuditLog, type AuditObserverOptions, auditObserver as openLog } from './audit/index.js';
import { webCrypto } from './web/index.js';

/** What auditObserver takes. */
export type AuditOptions = Omit<AuditObserverOptions, 'crypto'>;

/**
 * A new audit log over a sink of the caller's own, such as a MemorySink, opened: its first record is written. Give it to a
 * manager as an observer, which closes it. Its keys are derived from `token` before the promise resolves; the caller
 * zeroes the token then.
 * Errors: INVALID_INPUT, AUDIT_FAILED.
 */
export function auditObserver(options: AuditOptions): Promise<AuditLog> {
  return openLog({ ...options, crypto: webCrypto });
}

import { VramError } from '../../base/index.js';

export function unsigned(signerMs: number): VramError {
  return new VramError('AUDIT_FAILED', `the signer of the audit log has not signed for ${signerMs} ms`);
}

export function closedError(): VramError {
  return new VramError('AUDIT_FAILED', 'the audit log is closed');
}

/** AUDIT_FAILED with the system's error code, the only part of a foreign error that is reported. */
export function auditFailed(what: string, cause: unknown): VramError {
  if (cause instanceof VramError && cause.code === 'AUDIT_FAILED') return cause;
  const code = systemCode(cause);
  return new VramError('AUDIT_FAILED', code === null ? what : `${what}: ${code}`, { cause });
}

/** ENOSPC and the like, or null. */
export function systemCode(error: unknown): string | null {
  if (error instanceof VramError) return systemCode(error.cause);
  if (typeof error !== 'object' || error === null || !('code' in error)) return null;
  return typeof error.code === 'string' && /^[A-Z0-9_]{2,40}$/.test(error.code) ? error.code : null;
}

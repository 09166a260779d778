import { Callee, type ForeignCalls, type VramError } from '../base/index.js';
import type { Signer } from './provider.js';

/**
 * A signer that is waited for no longer than a limit: it may be a key in a box of its own, which a person has to touch.
 * While a signature that was given up is still being made, no other is asked for. Errors of sign(): the signer's own, and
 * `stalled`.
 */
export function boundedSigner(
  signer: Signer,
  calls: ForeignCalls,
  limitMs: number,
  stalled: () => VramError,
): Signer {
  const callee = new Callee(calls, limitMs, stalled);
  return { publicKey: signer.publicKey, sign: (bytes) => callee.call(() => signer.sign(bytes)) };
}

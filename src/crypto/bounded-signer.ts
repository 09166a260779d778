import { Callee, type ForeignCalls, type VramError } from '../base/index.js';
import type { Signer } from './provider.js';

/**
 * A signer with a time limit: the key may be in a hardware token that a person has to touch. While an abandoned signature
 * is still being made, no other is requested. Errors of sign(): the signer's own, and `stalled`.
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

import {
  type AttestationEnvelope,
  type AuditLogHead,
  checkNonce,
  residencyStatement,
  signEnvelope,
  statementBytes,
} from '../../attest/index.js';
import {
  checkOptions,
  type End,
  invalidInput,
  isVramError,
  type OptionKeys,
  throwIfAborted,
  timestamp,
  toHex,
  VramError,
} from '../../base/index.js';
import type { Signer } from '../../crypto/index.js';
import { type Operation, runOperation } from '../../events/index.js';
import {
  type Core,
  deviceEnd,
  type LiveShard,
  OPERATION_KEYS,
  type OperationOptions,
  requireLive,
  terminationReason,
} from '../state/index.js';
import { resolveHandle } from './resolve.js';
import { verifyLive } from './verify.js';

export interface AttestOptions extends OperationOptions {
  /** From the verifier, who must not have used it before: 16 to 64 bytes. */
  readonly nonce: Uint8Array;
}

// Does not compile unless it lists exactly the options of the interface.
export const ATTEST_KEYS = { ...OPERATION_KEYS, nonce: true } satisfies OptionKeys<AttestOptions>;

/** Verifies a shard and signs the result. See VramManager.attest. */
export async function attestShard(
  core: Core,
  handle: unknown,
  options: AttestOptions,
): Promise<AttestationEnvelope> {
  // Copied before the first await: the caller may reuse its buffer.
  const asked: unknown = options?.nonce instanceof Uint8Array ? options.nonce.slice() : options?.nonce;
  return await runOperation(core.events, 'attest', options, async (operation) => {
    // A call without options lacks the nonce.
    checkOptions('options', options ?? {}, ATTEST_KEYS);
    core.lifecycle.requireServing();
    const signer = core.attestationKey;
    if (signer === null) {
      throw invalidInput(
        'attestationKey',
        'must be given when the manager is opened: attestations are signed with it',
      );
    }
    const nonce = checkNonce('nonce', asked);
    const live = await resolveHandle(core, operation, handle);
    try {
      return await live.lock.with('verify', options.signal, async () => {
        requireSound(core, live);
        return await attestLive(core, operation, live, signer, nonce, options);
      });
    } catch (error) {
      throw terminationReason(core, options.signal, error);
    }
  });
}

/** The caller holds the shard's lock: the verified bytes are still present, and unchanged, when the statement is signed. */
async function attestLive(
  core: Core,
  operation: Operation,
  live: LiveShard,
  signer: Signer,
  nonce: Uint8Array,
  { signal, onProgress }: AttestOptions,
): Promise<AttestationEnvelope> {
  const { startedAt } = await verifyLive(core, operation, live, {
    mode: 'resident',
    signal,
    onProgress,
  });
  // Emitted before the statement is returned. The verification above is recorded, and therefore covered by the log head
  // in the statement.
  const attested = { sealId: live.sealed.sealId, nonce: toHex(nonce) };
  await operation.record('shard.attested', attested, operation.elapsedMs);
  const auditHead = await headOf(core, [signal, deviceEnd(core)]);
  const statement = residencyStatement({
    sealed: live.sealed.toJSON(),
    info: core.device.info,
    policy: core.policy,
    nonce,
    verifiedAt: startedAt,
    attestedAt: timestamp(core.clock),
    auditHead,
  });
  const envelope = await operation.stage('sign', null, () =>
    signEnvelope(
      core.crypto,
      signerWithin(core, signer, [signal, deviceEnd(core)]),
      statementBytes(statement),
    ),
  );
  throwIfAborted(signal);
  // Another verification, or the loss of the device, may have changed the state meanwhile.
  requireSound(core, live);
  return envelope;
}

/** Errors: AUDIT_FAILED for a log that fails or does not answer; those of `ends`. */
async function headOf(core: Core, ends: readonly End[]): Promise<AuditLogHead | null> {
  const { auditHead, calls, limits } = core;
  if (auditHead === null) return null;
  const stalled = (): VramError =>
    new VramError('AUDIT_FAILED', `"auditHead" has not answered for ${limits.observerMs} ms`);
  try {
    return await calls.run(auditHead, { limitMs: limits.observerMs, stalled, ends });
  } catch (error) {
    throw isVramError(error) ? error : new VramError('AUDIT_FAILED', '"auditHead" failed', { cause: error });
  }
}

/** A signer may be a hardware token. Errors of sign(): AUDIT_FAILED if it fails or does not answer; those of `ends`. */
function signerWithin({ calls, limits }: Core, signer: Signer, ends: readonly End[]): Signer {
  const stalled = (): VramError =>
    new VramError('AUDIT_FAILED', `"attestationKey" has not signed for ${limits.signerMs} ms`);
  return {
    publicKey: signer.publicKey,
    sign: async (bytes) => {
      try {
        return await calls.run(() => signer.sign(bytes), { limitMs: limits.signerMs, stalled, ends });
      } catch (error) {
        if (isVramError(error)) throw error;
        throw new VramError('AUDIT_FAILED', '"attestationKey" failed to sign', { cause: error });
      }
    },
  };
}

/** Errors: STOPPED, DEVICE_LOST, NOT_FOUND, INTEGRITY_VIOLATION for a shard in quarantine. */
function requireSound(core: Core, live: LiveShard): void {
  core.lifecycle.requireServing();
  requireLive(live);
  if (live.condition === 'quarantined') {
    throw new VramError(
      'INTEGRITY_VIOLATION',
      `shard "${live.sealed.shardId}" is in quarantine and cannot be attested; heal or release it`,
    );
  }
}

import type { AuditHeadProvider } from '../../attest/index.js';
import {
  type Clock,
  checkId,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkToken,
  ForeignCalls,
  invalidInput,
  Serial,
  systemClock,
  timerOf,
  VramError,
} from '../../base/index.js';
import type { Signer } from '../../crypto/index.js';
import { type Device, deviceId, type SkippedDevice, selectDevice } from '../../device/index.js';
import {
  type EventDevice,
  type EventPayloads,
  eventError,
  type Operation,
  runOperation,
  withAuditFailure,
} from '../../events/index.js';
import {
  acceptedClasses,
  checkPolicy,
  classify,
  decide,
  type Policy,
  policyViolation,
} from '../../policy/index.js';
import { deriveSealKey, EPHEMERAL_TOKEN_BYTES, tokenFingerprint } from '../../seal/index.js';
import {
  boundedEngine,
  type Core,
  deviceEnd,
  deviceLoss,
  type FailureReaction,
  Ledger,
  Lifecycle,
  type RetainedLevel,
  ShardTable,
  type WaitLimits,
  watchDevice,
} from '../state/index.js';
import { eventSource, isClock, isObservers } from './event-source.js';
import { MANAGER_KEYS, type ManagerOptions, type Platform } from './open-options.js';
import { checkWaitLimits } from './wait-limits.js';

const DEFAULT_MAX_SHARD_BYTES = 100 * 2 ** 30;
const MAX_DRIVER_PATHS = 64;
const MAX_PATH_CHARACTERS = 4096;

/** Opens a device under a policy and derives the worker's keys. See VramManager.open. */
export async function openCore(options: ManagerOptions, platform: Platform): Promise<Core> {
  const calls = new ForeignCalls(timerOf(isClock(options?.clock) ? options.clock : systemClock));
  const events = eventSource(options, platform, calls);
  return await runOperation(events, 'open', options, async (operation) => {
    const { token, ...checked } = checkManagerOptions(options);
    const taken: (() => Promise<void>)[] = [];
    try {
      const { device, owned, skipped } = await openDevice(options, checked, platform, operation);
      const deviceMs = operation.elapsedMs;
      if (owned) taken.push(() => device.close());
      // A faulty GPU or driver must not go unnoticed because another device replaced it.
      for (const one of skipped.filter(({ failed }) => failed))
        await operation.record('device.open_failed', openFailed(one), deviceMs);
      events.device = describeDevice(device);
      const residency = await admitDevice(device, checked, operation);
      const ledger = new Ledger(checked.budgetBytes, device.stats().scratchBytes);
      const lifecycle = new Lifecycle();
      const engine =
        options.engine === undefined
          ? await platform.engine()
          : boundedEngine(options.engine, {
              calls,
              limitMs: checked.limits.stallMs,
              ended: deviceEnd({ lifecycle }),
            });
      if (options.engine === undefined) taken.push(() => engine.close());
      const key = await deriveKeys(platform, token, checked.workerId);
      const core: Core = {
        ...checked,
        ...key,
        residency,
        device,
        passedOver: skipped,
        deviceOwned: owned,
        crypto: platform.crypto,
        engine,
        engineOwned: options.engine === undefined,
        events,
        calls,
        tally: { closeFailures: 0 },
        ledger,
        admission: new Serial(),
        shards: new ShardTable(),
        lifecycle,
      };
      events.endings = [deviceEnd(core), deviceLoss(device)];
      await emitOpened(core, operation, deviceMs);
      watchDevice(core);
      return core;
    } catch (error) {
      // The first failure is the one to report; a failure while releasing must not keep the rest from being released.
      for (const release of taken.reverse()) await Promise.allSettled([release()]);
      throw error;
    } finally {
      token?.own.fill(0);
    }
  });
}

/** The caller's buffer and the checked copy: another open() may zero the buffer while this one waits for its device. */
interface Token {
  readonly given: Uint8Array;
  readonly own: Uint8Array;
}

interface CheckedOptions {
  readonly workerId: string;
  readonly token: Token | null;
  readonly policy: Policy;
  readonly driverPaths: readonly string[];
  readonly allowReplacedKernels: boolean;
  readonly budgetBytes: number | null;
  readonly maxShardBytes: number;
  readonly onVerificationFailure: FailureReaction;
  readonly keep: RetainedLevel;
  readonly drills: boolean;
  readonly attestationKey: Signer | null;
  readonly auditHead: AuditHeadProvider | null;
  readonly limits: WaitLimits;
  readonly clock: Clock;
}

/** WK-005: everything is checked before a device is touched. */
function checkManagerOptions(options: ManagerOptions): CheckedOptions {
  checkOptions('options', options, MANAGER_KEYS);
  const { token, budgetBytes, drills = false, allowReplacedKernels = false, observers = [] } = options;
  if (typeof drills !== 'boolean') throw invalidInput('drills', 'must be true or false');
  if (typeof allowReplacedKernels !== 'boolean')
    throw invalidInput('allowReplacedKernels', 'must be true or false');
  if (!isObservers(observers)) throw invalidInput('observers', 'must be an array of observers');
  checkParts(options);
  return {
    workerId: checkId('workerId', options.workerId),
    token: token === undefined ? null : copyToken(checkToken('token', token)),
    policy: checkPolicy('policy', options.policy ?? 'vram-only'),
    driverPaths: checkDriverPaths(options.driverPaths ?? []),
    allowReplacedKernels,
    budgetBytes: budgetBytes === undefined ? null : checkInteger('budgetBytes', budgetBytes, 1),
    maxShardBytes: checkInteger('maxShardBytes', options.maxShardBytes ?? DEFAULT_MAX_SHARD_BYTES, 1),
    onVerificationFailure: checkOneOf(
      'onVerificationFailure',
      options.onVerificationFailure ?? 'quarantine',
      ['quarantine', 'stop'],
    ),
    keep: checkOneOf('keep', options.keep ?? 'groups', ['groups', 'leaves']),
    drills,
    ...checkAttestation(options),
    limits: checkWaitLimits(options),
    clock: options.clock ?? systemClock,
  };
}

function checkDriverPaths(paths: readonly string[]): readonly string[] {
  if (!Array.isArray(paths) || paths.length > MAX_DRIVER_PATHS)
    throw invalidInput('driverPaths', `must be an array of at most ${MAX_DRIVER_PATHS} absolute paths`);
  return paths.map((path: unknown, i) => {
    if (typeof path !== 'string' || path.length > MAX_PATH_CHARACTERS || !/^\/[^\0]+$/.test(path))
      throw invalidInput(`driverPaths[${i}]`, 'must be an absolute path, and not the root folder');
    return path;
  });
}

function copyToken(given: Uint8Array): Token {
  return { given, own: given.slice() };
}

/** Checks a caller's own clock and engine as far as possible from outside. */
function checkParts({ clock, engine }: ManagerOptions): void {
  if (clock !== undefined && !isClock(clock)) {
    throw invalidInput('clock', 'must have the functions now and monotonic');
  }
  if (engine !== undefined && typeof engine?.start !== 'function') {
    throw invalidInput('engine', 'must be a digest engine: see the type DigestEngine');
  }
}

function checkAttestation({
  attestationKey,
  auditHead,
}: ManagerOptions): Pick<CheckedOptions, 'attestationKey' | 'auditHead'> {
  if (
    attestationKey !== undefined &&
    !(attestationKey?.publicKey instanceof Uint8Array && typeof attestationKey.sign === 'function')
  ) {
    throw invalidInput('attestationKey', 'must be a signer: see openAttestationKey');
  }
  if (auditHead !== undefined && typeof auditHead !== 'function') {
    throw invalidInput('auditHead', "must be a function that gives the audit log's head");
  }
  return { attestationKey: attestationKey ?? null, auditHead: auditHead ?? null };
}

async function openDevice(
  { device = 'auto', drills, windowBytes }: ManagerOptions,
  { driverPaths }: Pick<CheckedOptions, 'driverPaths'>,
  platform: Platform,
  operation: Operation,
): Promise<{ device: Device; owned: boolean; skipped: readonly SkippedDevice[] }> {
  const skipped: SkippedDevice[] = [];
  if (typeof device === 'object' && device !== null) return { device, owned: false, skipped };
  try {
    const opened = await selectDevice(platform.backends({ driverPaths }), device, {
      forceHost: platform.forceHost,
      onSkipped: (one) => void skipped.push(one),
      drills: drills === true,
      windowBytes,
    });
    return { device: opened, owned: true, skipped };
  } catch (error) {
    const requested = typeof device === 'string' ? device.slice(0, 64) : typeof device;
    // On most machines some kind of device is not installed; that is not a failure.
    for (const one of skipped.filter(({ failed }) => failed))
      await operation.emit('device.open_failed', openFailed(one), operation.elapsedMs);
    const failed = { requested, error: eventError(error) };
    await operation.emit('device.open_failed', failed, operation.elapsedMs);
    throw error;
  }
}

function openFailed({ device, code, message }: SkippedDevice): EventPayloads['device.open_failed'] {
  return { requested: device, error: eventError(new VramError(code, message)) };
}

/** VP-007: a worker whose device the policy does not accept does not start. */
async function admitDevice(
  device: Device,
  { policy, allowReplacedKernels }: Pick<CheckedOptions, 'policy' | 'allowReplacedKernels'>,
  operation: Operation,
): Promise<Core['residency']> {
  const { facts } = device.info;
  const { residency } = classify(facts);
  const decision = decide(policy, residency, facts, { allowReplacedKernels });
  if (decision.accepted) return residency;
  const auditFailure = await operation.emit(
    'policy.violation',
    { policy, residency, violation: decision.why, action: 'refused' },
    operation.elapsedMs,
  );
  throw withAuditFailure(policyViolation(decision), auditFailure);
}

/** The token is zeroed here, once nothing more has to be derived from it. */
async function deriveKeys(
  { crypto }: Platform,
  given: Token | null,
  workerId: string,
): Promise<Pick<Core, 'key' | 'keyKind' | 'fingerprint'>> {
  const token = given?.own ?? crypto.randomBytes(EPHEMERAL_TOKEN_BYTES);
  try {
    return {
      key: await deriveSealKey(crypto, token, workerId),
      keyKind: given === null ? 'ephemeral' : 'token',
      fingerprint: await tokenFingerprint(crypto, token),
    };
  } finally {
    token.fill(0);
    given?.given.fill(0);
  }
}

async function emitOpened(core: Core, operation: Operation, deviceMs: number): Promise<void> {
  const { totalBytes } = await core.device.capacity();
  const { driver, ecc } = core.device.info;
  await operation.record(
    'device.opened',
    { driver, ecc, totalBytes, scratchBytes: core.ledger.scratchBytes },
    deviceMs,
  );
  const { policy, keyKind, engine } = core;
  await operation.record(
    'manager.opened',
    { policy, policyAccepted: acceptedClasses(policy), keyKind, engine: engine.name },
    operation.elapsedMs,
  );
}

function describeDevice({ info }: Device): EventDevice {
  return Object.freeze({
    id: deviceId(info),
    name: info.name,
    uuid: info.uuid,
    residency: classify(info.facts).residency,
    emulated: info.execution === 'emulated',
  });
}

import type { AuditHeadProvider } from '../attest/index.js';
import { invalidInput, isVramError } from '../base/index.js';
import type { Backend } from '../device/index.js';
import type { Observer } from '../events/index.js';
import { type ManagerOptions, VramManager } from '../manager/index.js';
import { hostIsForced, nodeCrypto } from '../node/index.js';
import type { CliContext } from './context.js';
import { passedOverText } from './device-report.js';
import { combineExitCodes, exitCodeOf } from './exit-codes.js';
import { type DeviceOptions, readToken } from './options.js';
import { checkRequirement, requiredBackends } from './require.js';

/** What `check`, `drill` and `attest make` hold while they run. */
export interface ManagerSession {
  readonly manager: VramManager;
  readonly trace: { readonly correlationId: string | undefined };
}

/** Opens a manager as the common options say, runs `work`, and closes it on every path. */
export async function withManager<T>(
  context: CliContext,
  options: DeviceOptions,
  extra: Partial<ManagerOptions>,
  work: (session: ManagerSession) => Promise<T>,
): Promise<T> {
  const { io } = context;
  const forceHost = hostIsForced(io.env);
  checkRequirement(options, forceHost);
  const token =
    options.tokenFile === undefined
      ? undefined
      : await readToken(options.tokenFile, { trustOwner: options.trustOwner, signal: io.signal });
  const trace = { correlationId: options.correlationId };
  const engine = context.engine();
  try {
    const { observers, auditHead, closeAudit } = await openObservers(context, options, token);
    // The manager owns, flushes and closes its observers, and zeroes the token.
    const opening = VramManager.open(
      {
        device: options.device,
        policy: options.policy,
        workerId: options.workerId,
        engine,
        auditHead,
        token,
        budgetBytes: options.budget,
        ...trace,
        ...extra,
        observers: [...observers, ...(extra.observers ?? [])],
      },
      {
        backends: (): readonly Backend[] => requiredBackends(context.backends(), options.require),
        crypto: nodeCrypto,
        engine: () => engine,
        forceHost,
      },
    );
    const manager = await opening.catch(async (error: unknown) => {
      // Observers belong to a manager that is open; the reason why this one is not comes first.
      await Promise.allSettled(observers.map((observer) => observer.close?.()));
      throw error;
    });
    printPassedOver(manager, options, io.stderr);
    const [outcome] = await Promise.allSettled([work({ manager, trace })]);
    await manager.close();
    // The manager's close never fails; a log that was not closed in order is a failure of the run all the same.
    const [closed] = await Promise.allSettled([closeAudit()]);
    const failures = [outcome, closed].flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
    if (outcome.status === 'fulfilled' && failures.length === 0) return outcome.value;
    throw gravest(failures);
  } finally {
    token?.fill(0);
    await engine.close();
  }
}

/**
 * What `auto` passed over, on stderr; where none could be opened the error names them all. The narration reports
 * what failed, and with --log json it is all there is on stderr.
 */
function printPassedOver(
  manager: VramManager,
  { verbose, log }: DeviceOptions,
  tell: (line: string) => void,
): void {
  if (log === 'json') return;
  const narrated = verbose === true || log !== undefined;
  for (const one of manager.status().passedOver) if (!(narrated && one.failed)) tell(passedOverText(one));
}

/** Of one failure or two, the one whose exit code goes before. */
function gravest(failures: readonly unknown[]): unknown {
  const code = combineExitCodes(failures.map(exitCodeOf));
  return failures.find((failure) => exitCodeOf(failure) === code);
}

/** No option names this key, and `--attestation-key` is another. */
function checkpointKeyRefused(error: unknown): Error | null {
  if (!isVramError(error, 'INVALID_INPUT') || error.argument !== 'keyFile') return null;
  return invalidInput('checkpointKey', error.message.replace('"keyFile" ', ''), error);
}

async function openObservers(
  { io }: CliContext,
  options: DeviceOptions,
  token: Uint8Array | undefined,
): Promise<{
  readonly observers: Observer[];
  readonly auditHead: AuditHeadProvider | undefined;
  /** Tells how the log's close went, which is the manager's to do. */
  readonly closeAudit: () => Promise<void>;
}> {
  const observers: Observer[] = [];
  let auditHead: AuditHeadProvider | undefined;
  let closeAudit = async (): Promise<void> => undefined;
  if (options.audit !== undefined) {
    // Without a token the log's MACs could not be checked after this process.
    if (token === undefined)
      throw invalidInput('audit', 'needs --token-file: without it the log cannot be verified');
    const { openAuditDirectory } = await import('../node/index.js');
    const opening = openAuditDirectory({
      dir: options.audit,
      token: Uint8Array.from(token),
      workerId: options.workerId,
      trustOwner: options.trustOwner,
    });
    const log = await opening.catch((error: unknown) => {
      throw checkpointKeyRefused(error) ?? error;
    });
    observers.push(log.observer);
    auditHead = () => log.head();
    closeAudit = () => log.close();
  }
  if (options.verbose || options.log !== undefined) {
    const { narrationObserver } = await import('../narration/index.js');
    const { pinoSink, prettySink } = await import('../node/index.js');
    const target = { write: (text: string) => io.stderr(text) };
    const sink =
      options.log === 'json' ? pinoSink(target) : prettySink(target, { colour: io.stderrIsTerminal });
    observers.push(narrationObserver({ sinks: [sink], token }));
  }
  return { observers, auditHead, closeAudit };
}

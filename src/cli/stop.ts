import { EXIT, type ExitCode } from './exit-codes.js';

/** Signals that end a run in order, and their exit codes: 128 plus the signal's number. */
export const STOP_SIGNALS = {
  SIGHUP: EXIT.hungUp,
  SIGINT: EXIT.interrupted,
  SIGTERM: EXIT.terminated,
} as const;

/** Why a run was ended from outside: the reason that its AbortSignal carries. */
export class Stop extends Error {
  override readonly name = 'Stop';
  readonly exitCode: ExitCode;
  /** True where the stop has no receiver, or was already reported. */
  readonly silent: boolean;

  constructor(reason: string, exitCode: ExitCode, options: { readonly silent: boolean }) {
    super(reason);
    this.exitCode = exitCode;
    this.silent = options.silent;
  }
}

/** What stopped a run; null where nothing did, or the cause is unknown. */
export function stopOf(signal: AbortSignal): Stop | null {
  return signal.aborted && signal.reason instanceof Stop ? signal.reason : null;
}

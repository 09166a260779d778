import { VramError } from '../base/index.js';

/**
 * A verdict that a required observer could not take: the verdict stays what it is, and the observer's failure becomes its
 * cause (AU-005). A verdict that has a cause already keeps it: the cause is then an AggregateError of both, the observer's
 * failure first. `failure` is what Operation.emit resolves to; null, or a verdict that is not a VramError, changes
 * nothing.
 */
export function withAuditFailure<T>(verdict: T, failure: VramError | null): T | VramError {
  if (failure === null || !(verdict instanceof VramError)) return verdict;
  const { code, message, neededBytes, availableBytes, argument, report, cause } = verdict;
  return new VramError(code, message, {
    neededBytes,
    availableBytes,
    argument,
    report,
    cause: cause === undefined ? failure : new AggregateError([failure, cause], failure.message),
  });
}

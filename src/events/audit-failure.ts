import { VramError } from '../base/index.js';

/**
 * A verdict that a required observer could not record: the verdict is unchanged, and the observer's failure becomes its
 * cause (AU-005). If the verdict already has a cause, the new cause is an AggregateError of both, the observer's failure
 * first. `failure` is what Operation.emit resolves to; null, or a verdict that is not a VramError, changes nothing.
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

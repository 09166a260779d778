// What every room stands on: errors and their codes, reports, checks of arguments, bytes and their text forms, JSON,
// time. Pure functions and small classes enter. Nothing here depends on a device, a seal or a file.
export {
  checkBase64,
  fromBase64,
  fromBase64Url,
  fromEitherBase64,
  toBase64,
  toBase64Url,
} from './base64.js';
export { concatBytes, equalBytes, utf8 } from './bytes.js';
export { canonicalBytes } from './canonical-json.js';
export { type Clock, systemClock, timerOf, timestamp } from './clock.js';
export { counted } from './counted.js';
export { type End, type Ending, firstEnd, onEnd } from './ending.js';
export type { ErrorCode, ErrorKind, FatalScope } from './error-codes.js';
export {
  type ErrorDetails,
  type ErrorReport,
  invalidInput,
  isVramError,
  type SetReport,
  throwIfAborted,
  VramError,
} from './errors.js';
export { type AbandonedCalls, Callee, type CallLimits, ForeignCalls } from './foreign-calls.js';
export { fromHex, toHex } from './hex.js';
export type { JsonObject, JsonValue } from './json.js';
export { visibleJson } from './json-text.js';
export { KnownSecret, writtenForms } from './known-secret.js';
export type { DamagedRange, SampleReport, VerificationReport, VerifyMode } from './reports.js';
export { removeSecretShapes } from './secret-shapes.js';
export { Serial } from './serial.js';
export { type SseEvent, SseReader } from './sse-reader.js';
export { isJsonObject, parseStrictJson } from './strict-json.js';
export { MAX_TIMER_MS, systemTimer } from './timer.js';
export { checkToken } from './token.js';
export { isCallersTraceparent, parseTraceparent, RECORDED_TRACEPARENT } from './traceparent.js';
export {
  checkBytes,
  checkId,
  checkInteger,
  checkLabel,
  checkOneOf,
  checkOptions,
  MAX_INTEGER,
  type OptionKeys,
} from './validate.js';

import type { FailureView, LoadProgress, ModelView, ShardView, WorkerStatus } from '../api-schema/index.js';

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === 'string';
const isCount: Check = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
const isFlag: Check = (value) => typeof value === 'boolean';
const isTime: Check = (value) => typeof value === 'string' && !Number.isNaN(Date.parse(value));

const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);

const everyOne =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);

/** An object in which each of these members passes its check. It may have others. */
function members<T>(checks: Readonly<Partial<Record<keyof T & string, Check>>>): Check {
  const entries = Object.entries<Check | undefined>(checks);
  return (value) =>
    typeof value === 'object' &&
    value !== null &&
    entries.every(([name, check]) => check?.(Reflect.get(value, name)) ?? true);
}

const isProgress = members<LoadProgress>({ bytes: isCount, totalBytes: isCount });
const isFailure = members<FailureView>({ code: isText, detail: isText });

const isShard = members<ShardView>({ quarantined: isFlag, lastVerifiedAt: orNull(isTime) });

const isModel = members<ModelView>({
  name: isText,
  generation: isCount,
  state: isText,
  byteLength: isCount,
  shards: everyOne(isShard),
  progress: orNull(isProgress),
  failure: orNull(isFailure),
  next: orNull(
    members<NonNullable<ModelView['next']>>({
      generation: isCount,
      progress: orNull(isProgress),
      failure: orNull(isFailure),
    }),
  ),
});

const isWorkerStatus = members<WorkerStatus>({
  workerId: isText,
  state: isText,
  reason: orNull(isText),
  device: members<WorkerStatus['device']>({
    id: isText,
    name: isText,
    residency: isText,
    execution: isText,
  }),
  capacity: members<WorkerStatus['capacity']>({
    totalBytes: orNull(isCount),
    usedBytes: isCount,
    reservedBytes: isCount,
  }),
  reservations: isCount,
  models: everyOne(isModel),
});

/**
 * Whether an answer has every member that this program reads, in the form in which it reads it. States are any text, and
 * further members are let through: a newer worker may know more of both.
 */
export function isStatus(value: unknown): value is WorkerStatus {
  return isWorkerStatus(value);
}

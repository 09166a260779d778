import type {
  Attested,
  Committed,
  Drilled,
  ExecutionEvent,
  ExecutionView,
  FailureView,
  LoadProgress,
  ModelList,
  ModelOutcome,
  ModelView,
  Plan,
  ShardOutcome,
  ShardView,
  WorkerEvent,
  WorkerStatus,
} from '../api-schema/index.js';

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

const isShard = members<ShardView>({
  quarantined: isFlag,
  lastVerifiedAt: orNull(isTime),
  lastScrubbedAt: orNull(isTime),
});

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
  instance: isText,
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
  executions: members<WorkerStatus['executions']>({ queued: isCount, running: isCount }),
  share: orNull(members<NonNullable<WorkerStatus['share']>>({ models: everyOne(isText), leases: isCount })),
  lastEventId: isCount,
  models: everyOne(isModel),
});

const isOutcomeOfShard = members<ShardOutcome>({
  shardId: isText,
  label: isText,
  ok: isFlag,
  fsverity: orNull(isText),
  blocks: isCount,
  failure: orNull(isFailure),
});

/** Whether an answer has this form. */
export type AnswerCheck<T> = (value: unknown) => value is T;

/**
 * Whether an answer has all members that programs read, with their types. Any state and further members are accepted: a
 * newer worker may have more of both.
 */
const answer =
  <T>(check: Check): AnswerCheck<T> =>
  (value: unknown): value is T =>
    check(value);

export const isStatus = answer<WorkerStatus>(isWorkerStatus);
export const isModelView = answer<ModelView>(isModel);
export const isModelList = answer<ModelList>(members<ModelList>({ models: everyOne(isModel) }));
export const isPlan = answer<Plan>(
  members<Plan>({
    feasible: isFlag,
    reason: orNull(isText),
    bytes: isCount,
    shards: isCount,
    reservationId: orNull(isText),
    expiresInMs: orNull(isCount),
    instance: isText,
  }),
);
export const isCommitted = answer<Committed>(
  members<Committed>({ name: isText, generation: isCount, instance: isText, events: isText }),
);
export const isOutcome = answer<ModelOutcome>(
  members<ModelOutcome>({
    name: isText,
    generation: isCount,
    ok: isFlag,
    shards: everyOne(isOutcomeOfShard),
  }),
);
export const isAttested = answer<Attested>(
  members<Attested>({ name: isText, generation: isCount, attestations: Array.isArray }),
);
export const isDrilled = answer<Drilled>(
  members<Drilled>({
    name: isText,
    generation: isCount,
    shardId: isText,
    seed: isCount,
    blocks: everyOne(isCount),
  }),
);
export const isEvent = answer<WorkerEvent>(
  members<WorkerEvent>({
    id: isCount,
    at: isTime,
    type: isText,
    model: orNull(isText),
    generation: orNull(isCount),
    shardId: orNull(isText),
    data: (value) => typeof value === 'object' && value !== null,
  }),
);
const isExecutionEventOfAnyForm = members<ExecutionEvent>({
  id: isCount,
  at: isTime,
  type: isText,
  data: (value) => typeof value === 'object' && value !== null,
});
export const isExecutionEvent = answer<ExecutionEvent>(isExecutionEventOfAnyForm);
export const isExecution = answer<ExecutionView>(
  members<ExecutionView>({
    executionId: isText,
    instance: isText,
    model: isText,
    state: isText,
    lastEventId: isCount,
    terminal: orNull(isExecutionEventOfAnyForm),
  }),
);
export const isNothing = answer<null>((value) => value === null);

import * as answers from './answers.js';
import { eventStream, lastEventId } from './event-stream.js';
import { type Call, ok, type Route, route } from './route.js';
import { executeRequest } from './schemas.js';

/** Grace for a reader that is slower than the events, which stay stored meanwhile. */
const PATIENCE_MS = 30_000;

export const executionRoutes: readonly Route[] = [
  route({
    method: 'post',
    path: '/v1/execute',
    role: 'execute',
    summary:
      'Accepts an execution. Sent again with the same `executionId`, the same request is executed once.',
    body: executeRequest,
    changes: true,
    answer: answers.execution,
    status: 202,
    handle: ({ worker, body }) => ok(worker.executions.submit(body), 202),
  }),
  route({
    method: 'get',
    path: '/v1/executions/{id}',
    role: 'execute',
    summary: 'The state of an execution, with its terminal event once it has ended.',
    answer: answers.execution,
    handle: ({ worker, id }) => ok(worker.executions.get(id).view()),
  }),
  route({
    method: 'get',
    path: '/v1/executions/{id}/events',
    role: 'execute',
    summary: 'Its events, as server-sent events, from the first or behind Last-Event-ID to the terminal one.',
    answer: 'text/event-stream',
    handle: events,
  }),
  route({
    method: 'post',
    path: '/v1/executions/{id}/cancel',
    role: 'execute',
    summary: 'Ends an execution that has not ended. Its model stays in use until the GPU is done.',
    changes: true,
    answer: answers.execution,
    handle: ({ worker, id }) => ok(worker.executions.cancel(id)),
  }),
];

/** A reader that disconnects does not cancel the execution. */
function events({ worker, id, header, signal }: Call<unknown>): Response {
  const execution = worker.executions.get(id);
  const afterId = lastEventId(header) ?? 0;
  execution.events.requireKept(afterId);
  const { started } = execution;
  return eventStream({
    log: execution.events,
    afterId,
    accepts: () => true,
    signal,
    patienceMs: PATIENCE_MS,
    headers:
      started === null
        ? {}
        : { 'x-weights': started.weights, 'x-verified-age-ms': String(Math.round(started.verifiedAgeMs)) },
  });
}

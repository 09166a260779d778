import { fromHex } from '../../base/index.js';
import * as answers from './answers.js';
import { eventStream, lastEventId } from './event-stream.js';
import { executionRoutes } from './execution-routes.js';
import { guardRoutes } from './guard-routes.js';
import { metricsText } from './metrics.js';
import { type Call, ok, type Route, route } from './route.js';
import { attestRequest, commitRequest, drainRequest, drillRequest, planRequest } from './schemas.js';

/** Everything that the worker answers, in the order of the OpenAPI document. */
export const ROUTES: readonly Route[] = [
  route({
    method: 'get',
    path: '/livez',
    role: null,
    summary: '204 while the process runs. No body.',
    answer: null,
    status: 204,
    handle: () => new Response(null, { status: 204 }),
  }),
  route({
    method: 'get',
    path: '/readyz',
    role: null,
    summary: '204 where every configured model is sealed and verified, else 503. No body.',
    answer: null,
    status: 204,
    handle: ({ worker }) => new Response(null, { status: worker.readiness().ready ? 204 : 503 }),
  }),
  route({
    method: 'get',
    path: '/metrics',
    role: 'read',
    summary: "State in Prometheus' text format.",
    answer: 'text/plain; version=0.0.4; charset=utf-8',
    handle: async ({ worker, now }) =>
      new Response(metricsText(await worker.status(), worker.readiness().ready, now()), {
        headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
      }),
  }),
  route({
    method: 'get',
    path: '/v1/status',
    role: 'read',
    summary: 'The worker, its device, its memory and its models.',
    answer: answers.status,
    handle: async ({ worker }) => ok(await worker.status()),
  }),
  route({
    method: 'get',
    path: '/v1/events',
    role: 'read',
    summary:
      'What happens, as server-sent events; `?model=NAME` for one model. Resumes behind Last-Event-ID.',
    answer: 'text/event-stream',
    handle: events,
  }),
  route({
    method: 'post',
    path: '/v1/plan',
    role: 'execute',
    summary: 'Holds device memory for a model that is to be committed.',
    body: planRequest,
    answer: answers.plan,
    handle: async ({ worker, body, signal }) => ok(await worker.plan(body, signal)),
  }),
  route({
    method: 'get',
    path: '/v1/models',
    role: 'read',
    summary: 'All models.',
    answer: answers.modelList,
    handle: ({ worker }) => ok({ models: worker.models() }),
  }),
  route({
    method: 'post',
    path: '/v1/models',
    role: 'admin',
    summary:
      'Starts loading a model. Under a name in use, the new model takes over once it is sealed and verified.',
    body: commitRequest,
    changes: true,
    answer: answers.committed,
    status: 202,
    // Continues if the caller disconnects: the commit was requested.
    handle: async ({ worker, body }) => ok(await worker.commit(body), 202),
  }),
  route({
    method: 'get',
    path: '/v1/models/{name}',
    role: 'read',
    summary: 'One model.',
    answer: answers.model,
    handle: ({ worker, name }) => ok(worker.model(name)),
  }),
  route({
    method: 'delete',
    path: '/v1/models/{name}',
    role: 'admin',
    summary: 'Cancels its load or waits for its users, then wipes it.',
    changes: true,
    answer: null,
    status: 204,
    handle: async ({ worker, name }) => {
      await worker.remove(name);
      return new Response(null, { status: 204 });
    },
  }),
  route({
    method: 'post',
    path: '/v1/models/{name}/verify',
    role: 'execute',
    summary: 'Hashes every shard where it lies. Damage is an outcome (`ok: false`), not an error.',
    answer: answers.outcome,
    handle: async ({ worker, name, signal }) => ok(await worker.verify(name, signal)),
  }),
  route({
    method: 'post',
    path: '/v1/models/{name}/heal',
    role: 'admin',
    summary: 'Repairs damaged blocks from where the model came from.',
    changes: true,
    answer: answers.outcome,
    handle: async ({ worker, name }) => ok(await worker.heal(name)),
  }),
  route({
    method: 'post',
    path: '/v1/models/{name}/attest',
    role: 'execute',
    summary: "Verifies every shard and signs the result together with the caller's nonce.",
    body: attestRequest,
    answer: answers.attested,
    handle: async ({ worker, name, body, signal }) =>
      ok(await worker.attest(name, fromHex(body.nonce.toLowerCase()), signal)),
  }),
  route({
    method: 'post',
    path: '/v1/models/{name}/drill',
    role: 'admin',
    summary:
      'Flips bits of resident bytes on purpose, each on record first. Only where the worker was started with drills.',
    body: drillRequest,
    bodyOptional: true,
    changes: true,
    answer: answers.drilled,
    handle: async ({ worker, name, body }) => ok(await worker.drill(name, body)),
  }),
  ...executionRoutes,
  ...guardRoutes,
  route({
    method: 'post',
    path: '/v1/drain',
    role: 'admin',
    summary: 'Refuses new work, waits for running work, and wipes everything unless `keep`.',
    body: drainRequest,
    bodyOptional: true,
    changes: true,
    answer: answers.status,
    status: 200,
    handle: async ({ worker, body }) => {
      await worker.drain(body);
      return ok(await worker.status());
    },
  }),
];

function events({ worker, query, header, signal }: Call<unknown>): Response {
  const model = query.get('model');
  // Without Last-Event-ID: new events only.
  const afterId = lastEventId(header) ?? worker.events.lastId;
  return eventStream({
    log: worker.events,
    afterId,
    accepts: (event) => model === null || event.model === model,
    signal,
  });
}

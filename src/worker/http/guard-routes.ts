import * as answers from './answers.js';
import { ok, type Route, route } from './route.js';
import { guardReport, guardRequest } from './schemas.js';

export const guardRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/v1/guards',
    role: 'read',
    summary: 'Guards that have registered, and what they claimed last.',
    answer: answers.guardList,
    handle: ({ worker }) => ok({ guards: worker.guards.list() }),
  }),
  route({
    method: 'post',
    path: '/v1/guards',
    role: 'execute',
    summary: "Registers a guard that watches an engine's own weights. On record as a claim.",
    body: guardRequest,
    changes: true,
    answer: answers.guard,
    status: 201,
    handle: async ({ worker, body }) => ok(await worker.guards.register(body), 201),
  }),
  route({
    method: 'post',
    path: '/v1/guards/{id}/reports',
    role: 'execute',
    summary: "Takes a guard's report. On record as a claim: it changes nothing of the worker's own models.",
    body: guardReport,
    changes: true,
    answer: answers.guard,
    handle: async ({ worker, id, body }) => ok(await worker.guardReport(id, body)),
  }),
  route({
    method: 'delete',
    path: '/v1/guards/{id}',
    role: 'execute',
    summary: 'Forgets a guard.',
    changes: true,
    answer: null,
    status: 204,
    handle: ({ worker, id }) => {
      worker.guards.remove(id);
      return new Response(null, { status: 204 });
    },
  }),
];

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/index.js';
import { Admission, ROUTES, Tokens, workerApp } from '../../src/worker/http/index.js';
import type { Route } from '../../src/worker/http/route.js';
import { z } from '../../src/worker/packages/index.js';
import { propertyRuns } from '../support/property-runs.js';
import { allowedBy, type Hints, type JsonSchema, nearly } from '../support/schema-arbitrary.js';
import { MIB, type Rig, rig } from '../unit/worker/fixture.js';

const GUARD_ID = 'a'.repeat(32);
const unforeseen: unknown[] = [];
/** Routes that have carried out what was sent. */
const accepted = new Set<string>();
let made: Rig;
let app: (request: Request) => Promise<Response>;
/** A model that is there, for requests that name a file. */
let file = '';

beforeAll(async () => {
  made = await rig(
    {
      // Nobody listens there: a guarded execution is accepted, and ends.
      engines: [{ model: 'm', weights: 'guarded', atOnce: 2, address: { host: '127.0.0.1', port: 1 } }],
      randomHex: (bytes) => 'a'.repeat(2 * bytes),
      onUnforeseen: (error) => unforeseen.push(error),
    },
    { drills: true },
  );
  file = await made.write('weights.bin', MIB / 4);
  await made.worker.commit({ name: 'm', path: file });
  await made.settled('m');
  const admission = new Admission({
    tokens: await Tokens.open({}, () => 0),
    hosts: null,
    clock: systemClock,
  });
  const { worker } = made;
  app = workerApp({ worker, admission, clock: systemClock, onUnforeseen: (error) => unforeseen.push(error) });
});
afterAll(() => made[Symbol.asyncDispose]());

const word = fc.oneof(
  fc.string(),
  fc.constantFrom('..', '%2e%2e', '%00', 'a/b', '\u202e', '__proto__', 'constructor'),
);
/** Names and files that are there: with them requests reach what is behind the checks. */
const hints: Hints = {
  name: fc.constantFrom('m', 'other', 'constructor'),
  model: fc.constant('m'),
  executionId: fc.constantFrom('e1', 'e2'),
  // Read when it is written into a body: the file is not there yet.
  path: fc.constantFrom('/etc/passwd', '/v1/completions', '').map((path) => (path === '' ? file : path)),
  url: fc.webUrl(),
  byteLength: fc.constantFrom(1, Number.MAX_SAFE_INTEGER),
  pid: fc.constant(process.pid),
  reservationId: fc.constant('a'.repeat(32)),
};
const names = fc.oneof(
  word,
  ...['m', 'e1', 'e2', GUARD_ID].map((name) => ({ weight: 3, arbitrary: fc.constant(name) })),
);
/** Seldom: most of them are refused before anything else is looked at. */
const headers = fc.oneof(
  { weight: 7, arbitrary: fc.constant({}) },
  fc.record(
    {
      'idempotency-key': fc.oneof(fc.constantFrom('k', 'l', ' '), fc.uuid()),
      'x-fence': fc.constantFrom('a:b:1', 'a:b:2', '::', 'a:b:99999999999999999999'),
      'x-instance': fc.constantFrom('a'.repeat(16), 'b'),
      'last-event-id': fc.constantFrom('0', '7', '-1', '99999999999999999999'),
      authorization: fc.constantFrom('Bearer x', 'Basic x', ''),
    },
    { requiredKeys: [] },
  ),
);

function schemaOf(body: z.ZodType): JsonSchema {
  return z.toJSONSchema(body, { io: 'input' }) as JsonSchema;
}

/** Bodies that the route's schema allows, that it nearly allows, and that are anything. */
function bodiesOf({ body }: Route): fc.Arbitrary<string> {
  const anything = fc.oneof(fc.json(), fc.string());
  if (body === null) return anything;
  const allowed = allowedBy(schemaOf(body), hints);
  const written = (one: fc.Arbitrary<unknown>) => one.map((value) => JSON.stringify(value) ?? '');
  return fc.oneof(
    { weight: 4, arbitrary: written(allowed) },
    { weight: 4, arbitrary: written(nearly(allowed)) },
    anything,
  );
}

interface Sent {
  readonly route: Route;
  readonly name: string;
  readonly body: string;
  readonly type: string;
  readonly headers: Record<string, string>;
}

function requestsTo(routes: readonly Route[]): fc.Arbitrary<Sent> {
  return fc.oneof(
    ...routes.map((route) =>
      fc.record({
        route: fc.constant(route),
        name: names,
        body: bodiesOf(route),
        type: fc.oneof(
          { weight: 8, arbitrary: fc.constant('application/json') },
          fc.constantFrom('text/plain', ''),
        ),
        headers,
      }),
    ),
  );
}

/** What earlier requests may have taken away. */
async function restore(): Promise<void> {
  const { worker } = made;
  if (worker.readiness().state === 'draining' || worker.models().some(({ name }) => name === 'm')) return;
  await worker.commit({ name: 'm', path: file });
  // Not by its events: a long run has more of them than are kept.
  while (worker.model('m').state === 'loading') await new Promise((wake) => setTimeout(wake, 1));
}

/** Every answer is one that the document knows, or a problem with a code. */
async function requireKnownAnswer({ route, name, body, type, headers: sent }: Sent): Promise<void> {
  await restore();
  const path = route.path.replace(/\{name\}|\{id\}/, () => encodeURIComponent(name));
  const hasBody = route.method === 'post';
  const response = await app(
    new Request(`http://localhost${path}`, {
      method: route.method.toUpperCase(),
      headers: { ...sent, ...(hasBody && type !== '' ? { 'content-type': type } : {}) },
      body: hasBody ? body : null,
    }),
  );
  if (response.ok) accepted.add(`${route.method} ${route.path}`);
  // A stream need not end by itself.
  if (response.headers.get('content-type') === 'text/event-stream') {
    await response.body?.cancel();
    return;
  }
  const answer = await response.text();
  expect(unforeseen).toEqual([]);
  expect(response.status).not.toBe(500);
  if (response.status < 400 || answer === '') return;
  expect(JSON.parse(answer)).toMatchObject({
    status: response.status,
    code: expect.stringMatching(/^[A-Z_]+$/),
  });
}

async function requireAlive(): Promise<void> {
  expect((await app(new Request('http://localhost/livez'))).status).toBe(204);
}

describe('every route', () => {
  it('answers whatever is sent with what the document tells, or a problem that it knows', async () => {
    // The order that ends the worker comes last.
    const routes = ROUTES.filter(({ path }) => path !== '/v1/drain');
    await fc.assert(fc.asyncProperty(requestsTo(routes), requireKnownAnswer), { numRuns: propertyRuns(500) });
    await requireAlive();
    // Else nothing was tried but the checks of input.
    expect(accepted.size).toBeGreaterThan(routes.length / 2);
  });

  it('takes every body that its part of the document allows', () => {
    const bodies = ROUTES.flatMap(({ path, body }) => (body === null ? [] : [{ path, body }]));
    expect(bodies.length).toBeGreaterThan(6);
    for (const { path, body } of bodies) {
      const allowed = allowedBy(schemaOf(body));
      fc.assert(
        fc.property(allowed, (value) => {
          expect(body.safeParse(value).error?.message, path).toBeUndefined();
        }),
        { numRuns: propertyRuns(50) },
      );
    }
  });

  it('has no path beside those of the document and of the page', async () => {
    const page = ['/', '/dashboard.css', '/dashboard.js', '/session'];
    await fc.assert(
      fc.asyncProperty(fc.webPath(), async (path) => {
        const request = new Request(`http://localhost/${path}`);
        fc.pre(!page.includes(new URL(request.url).pathname));
        const response = await app(request);
        expect(unforeseen).toEqual([]);
        expect([404, 405]).toContain(response.status);
      }),
      { numRuns: propertyRuns(100) },
    );
  });

  it('answers as well while the worker drains, and after', async () => {
    const drain = ROUTES.filter(({ path }) => path === '/v1/drain');
    await fc.assert(fc.asyncProperty(requestsTo(drain), requireKnownAnswer), { numRuns: propertyRuns(30) });
    await made.worker.drain();
    await fc.assert(fc.asyncProperty(requestsTo(ROUTES), requireKnownAnswer), { numRuns: propertyRuns(50) });
    await requireAlive();
  });
});

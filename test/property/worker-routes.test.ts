import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/index.js';
import { Admission, ROUTES, Tokens, workerApp } from '../../src/worker/http/index.js';
import { propertyRuns } from '../support/property-runs.js';
import { type Rig, rig } from '../unit/worker/fixture.js';

const unforeseen: unknown[] = [];
let made: Rig;
let app: (request: Request) => Promise<Response>;

beforeAll(async () => {
  made = await rig();
  const admission = new Admission({
    tokens: await Tokens.open({}, () => 0),
    hosts: null,
    clock: systemClock,
  });
  const { worker } = made;
  app = workerApp({ worker, admission, clock: systemClock, onUnforeseen: (error) => unforeseen.push(error) });
});
afterAll(() => made[Symbol.asyncDispose]());

/** Everything but the order that would end the worker for the rest of the test. */
const routes = ROUTES.filter(({ path }) => path !== '/v1/drain' && path !== '/v1/events');
const word = fc.oneof(
  fc.string(),
  fc.constantFrom('..', '%2e%2e', '%00', 'a/b', '\u202e', '__proto__', 'constructor'),
);
const size = fc.oneof(fc.nat(), fc.integer(), fc.double());
const execution = fc.record(
  {
    executionId: fc.constantFrom('e1', 'e2', '', '..'),
    model: fc.constantFrom('m', 'other', '__proto__'),
    mode: fc.constantFrom('onnx', 'engine', 'shell'),
    maxAgeMs: size,
    deadlineMs: size,
    recheck: fc.oneof(fc.boolean(), word),
    inputs: fc.oneof(
      fc.record({ path: fc.constantFrom('/v1/completions', '/v1/embeddings', '/x'), body: fc.object() }),
      fc.dictionary(
        word,
        fc.record({ type: fc.constantFrom('float32', 'int64', 'string'), dims: fc.array(size), data: word }),
      ),
      fc.jsonValue(),
    ),
  },
  { requiredKeys: ['executionId', 'model', 'mode', 'inputs'] },
);
const guard = fc.record(
  {
    model: word,
    pid: fc.oneof(fc.constant(process.pid), fc.integer()),
    client: word,
    manifest: fc.record({ v: fc.constantFrom(1, 2), tensors: fc.array(fc.jsonValue(), { maxLength: 3 }) }),
    v: fc.constantFrom(1, 2),
    type: fc.constant('guard.report'),
    outcome: fc.constantFrom('clean', 'damaged', 'fine'),
  },
  { requiredKeys: [] },
);
/** Bodies that are nearly right reach further than random ones. */
const body = fc.oneof(
  fc.json(),
  fc.string(),
  fc
    .record(
      {
        name: fc.oneof(word, fc.constant('m')),
        path: fc.oneof(word, fc.constant('/etc/passwd')),
        url: fc.oneof(word, fc.webUrl()),
        model: fc.oneof(fc.record({ path: word }), fc.jsonValue()),
        byteLength: fc.oneof(fc.integer(), fc.double(), fc.constant(Number.MAX_SAFE_INTEGER)),
        expected: fc.array(word),
        part: fc.record({ index: fc.integer(), of: fc.integer() }),
        reservationId: word,
        nonce: word,
        shard: fc.integer(),
        flips: fc.integer(),
      },
      { requiredKeys: [] },
    )
    .map((value) => JSON.stringify(value)),
  execution.map((value) => JSON.stringify(value)),
  guard.map((value) => JSON.stringify(value)),
);

describe('every route', () => {
  it('answers whatever is sent with a problem that it knows', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...routes),
        word,
        body,
        fc.constantFrom('application/json', 'text/plain', ''),
        fc.record(
          { 'idempotency-key': fc.constantFrom('k', ' '), 'x-fence': fc.constantFrom('a:b:1', '::') },
          { requiredKeys: [] },
        ),
        async (route, name, text, type, headers) => {
          const path = route.path.replace(/\{name\}|\{id\}/, () => encodeURIComponent(name));
          const hasBody = route.method === 'post';
          const response = await app(
            new Request(`http://localhost${path}`, {
              method: route.method.toUpperCase(),
              headers: { ...headers, ...(hasBody && type !== '' ? { 'content-type': type } : {}) },
              body: hasBody ? text : null,
            }),
          );
          // `/v1/executions/../events` is `/v1/events`, which does not end.
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
        },
      ),
      { numRuns: propertyRuns(300) },
    );
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
});

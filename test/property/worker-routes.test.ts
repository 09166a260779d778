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
          const path = route.path.replace('{name}', encodeURIComponent(name));
          const hasBody = route.method === 'post';
          const response = await app(
            new Request(`http://localhost${path}`, {
              method: route.method.toUpperCase(),
              headers: { ...headers, ...(hasBody && type !== '' ? { 'content-type': type } : {}) },
              body: hasBody ? text : null,
            }),
          );
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

  it('has no path beside those of the document', async () => {
    await fc.assert(
      fc.asyncProperty(fc.webPath(), async (path) => {
        const response = await app(new Request(`http://localhost/${path}`));
        expect(unforeseen).toEqual([]);
        expect([404, 405]).toContain(response.status);
      }),
      { numRuns: propertyRuns(100) },
    );
  });
});

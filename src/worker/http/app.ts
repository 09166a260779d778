import type { Clock } from '../../base/index.js';
import { ServiceError } from '../common/index.js';
import { type Context, Hono } from '../packages/index.js';
import type { Worker } from '../service/index.js';
import type { Admission } from './admission.js';
import { openApiDocument } from './document.js';
import { Fences } from './fences.js';
import { Idempotency } from './idempotency.js';
import { OpenStreams } from './open-streams.js';
import { addPage } from './page-routes.js';
import { isForeseen, problem, problemOf, problemResponse } from './problem.js';
import { refusedField } from './refused-field.js';
import type { Answer, Route } from './route.js';
import { ROUTES } from './routes.js';
import type { Caller } from './tokens.js';

/** Limit of a request's body, bytes. */
const MOST_BODY_BYTES = 1_048_576;
const JSON_TYPE = /^application\/json(?:;|$)/i;
/** For load balancers, which connect by address; these reveal a single bit. */
const PROBES: readonly string[] = ['/livez', '/readyz'];

export interface AppSettings {
  readonly worker: Worker;
  readonly admission: Admission;
  readonly clock: Clock;
  /** Whether the worker was started with drills, which the dashboard then offers; default false. */
  readonly drills?: boolean;
  /** Streams of events that one caller may have open; default 128. */
  readonly mostStreams?: number | undefined;
  /** Receives unexpected failures, whose details the caller does not get. */
  readonly onUnforeseen: (error: unknown) => void;
}

/** The worker's HTTP handler. Never rejects. */
export function workerApp({
  worker,
  admission,
  clock,
  drills = false,
  mostStreams,
  onUnforeseen,
}: AppSettings): (request: Request) => Promise<Response> {
  const app = new Hono();
  const orders = new Orders(worker, clock);
  const streams = new OpenStreams(mostStreams);
  app.onError((error) => {
    if (!isForeseen(error)) onUnforeseen(error);
    return problemResponse(problemOf(error));
  });
  app.notFound(() => problemResponse(problem('NOT_FOUND', 'there is nothing at this path')));
  app.use('*', async (context, next) => {
    if (!PROBES.includes(context.req.path)) admission.checkOrigin((name) => context.req.header(name) ?? null);
    await next();
  });

  const document = JSON.stringify(openApiDocument(ROUTES));
  app.get('/openapi.json', async (context) => {
    await admission.admit('read', admission.credential(context.req));
    return new Response(document, { headers: { 'content-type': 'application/json' } });
  });
  addPage(app, { admission, drills, bodyOf });
  for (const route of ROUTES) {
    app.on(route.method.toUpperCase(), routerPath(route), async (context) => {
      const authorization = admission.credential(context.req);
      const caller = route.role === null ? null : await admission.admit(route.role, authorization);
      const text = route.body === null ? '' : await bodyOf(context);
      const body = parseBody(text, route);
      const answer = async (): Promise<Response> =>
        response(
          await route.handle({
            worker,
            body,
            name: context.req.param('name') ?? '',
            id: context.req.param('id') ?? '',
            query: new URL(context.req.url).searchParams,
            header: (name) => context.req.header(name) ?? null,
            signal: context.req.raw.signal,
            now: () => clock.now(),
          }),
        );
      if (route.changes) return await orders.carryOut(context, caller, text, answer);
      const { role } = route;
      return await streams.guard(await answer(), caller?.fingerprint ?? '', async () =>
        role === null ? true : await admission.isStillAdmitted(role, authorization),
      );
    });
  }
  // Registered last, once every method of every path is known.
  for (const path of new Set(ROUTES.map(routerPath))) app.all(path, () => wrongMethod(path));
  return async (request) => await app.fetch(request);
}

/** Checks on requests that change state: repeated ones, outdated ones, and those for another run of the worker. */
class Orders {
  readonly #worker: Worker;
  readonly #idempotency: Idempotency;
  readonly #fences = new Fences();

  constructor(worker: Worker, clock: Clock) {
    this.#worker = worker;
    this.#idempotency = new Idempotency(clock);
  }

  /** Errors: STALE_EPOCH, INVALID_INPUT, QUEUE_FULL, and those of `answer`. */
  async carryOut(
    { req }: Context,
    caller: Caller | null,
    body: string,
    answer: () => Promise<Response>,
  ): Promise<Response> {
    const instance = req.header('x-instance');
    if (instance !== undefined && instance !== this.#worker.instance) {
      throw new ServiceError('STALE_EPOCH', 'the worker has restarted since: read its state again');
    }
    const fence = req.header('x-fence');
    if (fence !== undefined) this.#fences.check(fence);
    const key = req.header('idempotency-key');
    if (key === undefined) return await answer();
    const about = { caller: caller?.fingerprint ?? '', route: `${req.method} ${req.path}`, body };
    const kept = await this.#idempotency.once(key, about, async () => {
      const first = await answer();
      return { status: first.status, body: await first.text() };
    });
    return kept.status === 204 ? new Response(null, { status: 204 }) : jsonResponse(kept.status, kept.body);
  }
}

/** `{name}` and `{id}` in the router's notation. */
function routerPath({ path }: Route): string {
  return path.replace(/\{(name|id)\}/, ':$1');
}

function wrongMethod(path: string): Response {
  const allowed = ROUTES.filter((route) => routerPath(route) === path).map(({ method }) =>
    method.toUpperCase(),
  );
  const refused = problemResponse(
    problem('INVALID_INPUT', `this path allows ${allowed.join(', ')}`, { status: 405 }),
  );
  refused.headers.set('allow', allowed.join(', '));
  return refused;
}

/** Reads at most the limit into memory. Errors: INVALID_INPUT (413, 415). */
async function bodyOf({ req }: Context): Promise<string> {
  const { body } = req.raw;
  if (body === null) return '';
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > MOST_BODY_BYTES) {
      throw new ServiceError('INVALID_INPUT', `the body is over ${MOST_BODY_BYTES} bytes`, { status: 413 });
    }
    chunks.push(chunk);
  }
  if (length > 0 && !JSON_TYPE.test(req.header('content-type') ?? '')) {
    throw new ServiceError('INVALID_INPUT', '"Content-Type" must be application/json', { status: 415 });
  }
  return await new Blob(chunks).text();
}

/** Errors: INVALID_INPUT naming the field. */
function parseBody(text: string, { body, bodyOptional }: Route): unknown {
  if (body === null) return null;
  const parsed = body.safeParse(text === '' && bodyOptional ? {} : parseJson(text));
  if (parsed.success) return parsed.data;
  const { field, message } = refusedField(parsed.error);
  throw new ServiceError('INVALID_INPUT', `"${field ?? 'body'}": ${message}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ServiceError('INVALID_INPUT', 'the body is not JSON', { cause });
  }
}

function response(answer: Answer): Response {
  return answer instanceof Response ? answer : jsonResponse(answer.status, JSON.stringify(answer.json));
}

function jsonResponse(status: number, body: string): Response {
  return new Response(body, {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
  });
}

import type { z } from '../packages/index.js';
import type { Worker } from '../service/index.js';
import type { Role } from './tokens.js';

/** An admitted request with a checked body. */
export interface Call<Body> {
  readonly worker: Worker;
  readonly body: Body;
  /** The model that the path names; empty on routes without one. */
  readonly name: string;
  /** The execution or guard that the path names; empty on routes without one. */
  readonly id: string;
  readonly query: URLSearchParams;
  readonly header: (name: string) => string | null;
  /** Fires when the caller disconnects. */
  readonly signal: AbortSignal;
  /** Wall clock, milliseconds since 1970. */
  readonly now: () => number;
}

export type Answer = { readonly status: number; readonly json: unknown } | Response;

export function ok(json: unknown, status = 200): Answer {
  return { status, json };
}

/** One route: its OpenAPI description and its handler. */
export interface Route {
  readonly method: 'get' | 'post' | 'delete';
  /** In OpenAPI's notation: `/v1/models/{name}`. */
  readonly path: string;
  /** null: no token is needed. */
  readonly role: Role | null;
  readonly summary: string;
  /** null: no body. */
  readonly body: z.ZodType | null;
  /** The body may be omitted and is then `{}`. */
  readonly bodyOptional: boolean;
  /** Changes the worker's state: applies Idempotency-Key, X-Instance and X-Fence. */
  readonly changes: boolean;
  readonly status: number;
  /** null: the answer is not JSON, and has this media type. */
  readonly answer: z.ZodType | string | null;
  /** `body` has been checked against the schema. */
  readonly handle: (call: Call<unknown>) => Promise<Answer> | Answer;
}

interface RouteOf<Body> extends Omit<Route, 'body' | 'bodyOptional' | 'changes' | 'status' | 'handle'> {
  readonly body?: z.ZodType<Body>;
  readonly bodyOptional?: boolean;
  readonly changes?: boolean;
  readonly status?: number;
  readonly handle: (call: Call<Body>) => Promise<Answer> | Answer;
}

/** Type-checks a route's handler against its schema. */
export function route<Body>(definition: RouteOf<Body>): Route {
  const { body = null, bodyOptional = false, changes = false, status = 200, handle } = definition;
  return {
    ...definition,
    body,
    bodyOptional,
    changes,
    status,
    // The one place where the schema's type is lost: the dispatcher parses with `body` before it calls this.
    handle: (call) => handle(call as Call<Body>),
  };
}

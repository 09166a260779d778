import { dashboard } from '../../generated/dashboard.js';
import { ServiceError } from '../common/index.js';
import { type Context, type Hono, z } from '../packages/index.js';
import type { Admission } from './admission.js';
import { SESSION_MS } from './sessions.js';

/** The page loads only its own files, and other sites cannot frame it. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const FILES = [
  { path: '/', type: 'text/html; charset=utf-8', text: dashboard.html },
  { path: '/dashboard.css', type: 'text/css; charset=utf-8', text: dashboard.css },
  { path: '/dashboard.js', type: 'text/javascript; charset=utf-8', text: dashboard.js },
] as const;

const login = z.strictObject({ token: z.string().min(1).max(4_096) });

export interface PageSettings {
  readonly admission: Admission;
  /** Whether the worker was started with drills. */
  readonly drills: boolean;
  /** Reads a request's body and checks its size and type. */
  readonly bodyOf: (context: Context) => Promise<string>;
}

/** The dashboard's files and its login. The files are public and hold no state of the worker. */
export function addPage(app: Hono, { admission, drills, bodyOf }: PageSettings): void {
  for (const { path, type, text } of FILES) app.get(path, () => file(type, text));

  app.get('/session', async ({ req }) => {
    const caller = await admission.admit('read', admission.credential(req));
    return Response.json(
      { role: caller.role, drills, login: caller.fingerprint !== null },
      { headers: { 'cache-control': 'no-store' } },
    );
  });
  app.post('/session', async (context) => {
    admission.requireOrigin(context.req);
    const session = await admission.beginSession(tokenOf(await bodyOf(context)));
    return cookie(`${session}; Max-Age=${SESSION_MS / 1000}`, context);
  });
  app.delete('/session', (context) => {
    admission.requireOrigin(context.req);
    admission.endSession(context.req);
    return cookie('; Max-Age=0', context);
  });
}

function file(type: string, text: string): Response {
  return new Response(text, {
    headers: {
      'content-type': type,
      'content-security-policy': POLICY,
      'cache-control': 'no-cache',
      'cross-origin-opener-policy': 'same-origin',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    },
  });
}

/** Scripts cannot read it, other sites cannot send it, and with TLS it is never sent unencrypted. */
function cookie(value: string, { req }: Context): Response {
  const secure = new URL(req.url).protocol === 'https:' ? '; Secure' : '';
  return new Response(null, {
    status: 204,
    headers: {
      'set-cookie': `vram_session=${value}; Path=/; HttpOnly; SameSite=Strict${secure}`,
      'cache-control': 'no-store',
    },
  });
}

function tokenOf(text: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ServiceError('INVALID_INPUT', 'the body is not JSON', { cause });
  }
  const parsed = login.safeParse(value);
  if (!parsed.success) throw new ServiceError('INVALID_INPUT', 'the body must be {"token": "..."}');
  return parsed.data.token;
}

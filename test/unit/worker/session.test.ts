import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Admission, Tokens, workerApp } from '../../../src/worker/http/index.js';
import { TestClock } from '../manager/fixture.js';
import { type Rig, rig } from './fixture.js';

const TOKEN = 'a'.repeat(40);
const READER = 'r'.repeat(40);
const ORIGIN = { origin: 'http://localhost' };

describe("a page's session", () => {
  let folder: string;
  let made: Rig;
  let clock: TestClock;
  let app: (request: Request) => Promise<Response>;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vram-session-'));
    await writeFile(join(folder, 'admin'), `${TOKEN}\n`, { mode: 0o600 });
    await writeFile(join(folder, 'read'), `${READER}\n`, { mode: 0o600 });
    clock = new TestClock();
    const files = { admin: join(folder, 'admin'), read: join(folder, 'read') };
    const tokens = await Tokens.open(files, () => clock.monotonic());
    made = await rig();
    const admission = new Admission({ tokens, hosts: new Set(['localhost']), clock });
    const onUnforeseen = (error: unknown): void => {
      throw error;
    };
    app = workerApp({ worker: made.worker, admission, clock, onUnforeseen });
  });
  afterEach(async () => {
    await made[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  function ask(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    body?: unknown,
    site = 'http://localhost',
  ): Promise<Response> {
    const json = body === undefined ? {} : { 'content-type': 'application/json' };
    return app(
      new Request(`${site}${path}`, {
        method,
        body: body === undefined ? null : JSON.stringify(body),
        headers: { host: 'localhost', ...json, ...headers },
      }),
    );
  }

  async function login(token: string): Promise<string> {
    const answer = await ask('POST', '/session', ORIGIN, { token });
    expect(answer.status).toBe(204);
    return (answer.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
  }

  it('is a cookie that no script reads and no other site sends, and Secure over TLS', async () => {
    const answer = await ask('POST', '/session', ORIGIN, { token: TOKEN });
    expect(answer.headers.get('set-cookie')).toMatch(
      /^vram_session=[\w-]{43}; Max-Age=43200; Path=\/; HttpOnly; SameSite=Strict$/,
    );
    const secure = { origin: 'https://localhost' };
    const overTls = await ask('POST', '/session', secure, { token: TOKEN }, 'https://localhost');
    expect(overTls.headers.get('set-cookie')).toMatch(/; Secure$/);
  });

  it('refuses a wrong token, with the limit that bearer tokens have', async () => {
    const statuses: number[] = [];
    for (let attempt = 0; attempt < 21; attempt++) {
      statuses.push((await ask('POST', '/session', ORIGIN, { token: 'w'.repeat(40) })).status);
    }
    expect(statuses).toEqual([...Array.from({ length: 20 }, () => 401), 429]);
  });

  it('may do what its token may', async () => {
    const reader = await login(READER);
    expect((await ask('GET', '/v1/status', { cookie: reader })).status).toBe(200);
    const session = await (await ask('GET', '/session', { cookie: `other=1; ${reader}` })).json();
    expect(session).toEqual({ role: 'read', drills: false, login: true });
    expect((await ask('POST', '/v1/drain', { cookie: reader, ...ORIGIN }, {})).status).toBe(403);
    expect((await ask('GET', '/v1/status', {})).status).toBe(401);
  });

  it('changes something only for a page of this worker', async () => {
    const cookie = await login(TOKEN);
    expect((await ask('POST', '/v1/drain', { cookie }, { keep: true })).status).toBe(403);
    const other = { cookie, origin: 'http://other.example' };
    expect((await ask('POST', '/v1/drain', other, { keep: true })).status).toBe(403);
    expect((await ask('POST', '/session', {}, { token: TOKEN })).status).toBe(403);
    expect((await ask('DELETE', '/session', { cookie })).status).toBe(403);
    expect((await ask('POST', '/v1/drain', { cookie, ...ORIGIN }, { keep: true })).status).toBe(200);
  });

  it('is not a bearer token, nor is its cookie an Authorization', async () => {
    const cookie = await login(TOKEN);
    const name = cookie.slice('vram_session='.length);
    for (const authorization of [`Bearer ${name}`, cookie]) {
      expect((await ask('GET', '/v1/status', { authorization })).status).toBe(401);
    }
    expect((await ask('GET', '/v1/status', { cookie: `vram_session=${TOKEN}` })).status).toBe(401);
  });

  it('ends when its token is withdrawn, when it signs out, and after 12 hours', async () => {
    const withdrawn = await login(READER);
    await writeFile(join(folder, 'read'), `${'n'.repeat(40)}\n`, { mode: 0o600 });
    clock.turn(2_000);
    expect((await ask('GET', '/v1/status', { cookie: withdrawn })).status).toBe(401);

    const left = await login(TOKEN);
    expect((await ask('DELETE', '/session', { cookie: left, ...ORIGIN })).status).toBe(204);
    expect((await ask('GET', '/v1/status', { cookie: left })).status).toBe(401);

    const old = await login(TOKEN);
    clock.turn(12 * 3_600_000 - 1);
    expect((await ask('GET', '/v1/status', { cookie: old })).status).toBe(200);
    clock.turn(1);
    expect((await ask('GET', '/v1/status', { cookie: old })).status).toBe(401);
  });

  it('serves the page under a policy that allows its own files alone, as does every file of it', async () => {
    for (const path of ['/', '/dashboard.js', '/dashboard.css']) {
      const answer = await ask('GET', path, {});
      expect(answer.status).toBe(200);
      const policy = answer.headers.get('content-security-policy') ?? '';
      expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toMatch(/unsafe|\*|https?:|data:/);
      expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
      expect(await answer.text()).not.toMatch(/\bstyle="|<script(?! type="module" src="\/)|https?:\/\//);
    }
  });
});

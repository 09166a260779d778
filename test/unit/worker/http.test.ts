import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROUTES, Tokens } from '../../../src/worker/http/index.js';
import { MIB } from './fixture.js';
import { folder, type Send, service } from './http-fixture.js';

const READ = 'r'.repeat(40);

const EXECUTE = 'e'.repeat(40);

const ADMIN = 'a'.repeat(40);

async function threeTokens(
  now: () => number = () => performance.now(),
): Promise<{ tokens: Tokens; dir: string }> {
  const dir = await folder();
  for (const [role, token] of Object.entries({ read: READ, execute: EXECUTE, admin: ADMIN })) {
    await writeFile(join(dir, role), `${token}\n`, { mode: 0o600 });
  }
  const tokens = await Tokens.open(
    { read: join(dir, 'read'), execute: join(dir, 'execute'), admin: join(dir, 'admin') },
    now,
  );
  return { tokens, dir };
}

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

async function readUntil(response: Response, text: string): Promise<string> {
  let seen = '';
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  if (reader === undefined) throw new Error('no body');
  while (!seen.includes(text)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`the stream ended after: ${seen}`);
    seen += decoder.decode(value, { stream: true });
  }
  await reader.cancel();
  return seen;
}

describe('the routes', () => {
  it('go from plan to drain', async () => {
    const { send, write, settled, worker } = await service();
    expect((await send('GET', '/livez')).status).toBe(204);
    expect((await send('GET', '/readyz')).status).toBe(204);
    const path = await write('a.bin', MIB);
    const plan = await (await send('POST', '/v1/plan', { body: { model: { path } } })).json();
    expect(plan).toMatchObject({ feasible: true, shards: 1, instance: worker.instance });
    const commit = await send('POST', '/v1/models', {
      body: { name: 'a', path, reservationId: plan.reservationId },
    });
    expect(commit.status).toBe(202);
    await settled('a');
    expect(await (await send('GET', '/v1/models/a')).json()).toMatchObject({ name: 'a', state: 'ready' });
    expect(await (await send('GET', '/v1/models')).json()).toMatchObject({ models: [{ name: 'a' }] });
    expect(await (await send('POST', '/v1/models/a/verify')).json()).toMatchObject({ ok: true });
    expect(await (await send('POST', '/v1/models/a/heal')).json()).toMatchObject({
      ok: true,
      shards: [{ blocks: 0 }],
    });
    const metrics = await (await send('GET', '/metrics')).text();
    expect(metrics).toContain('vram_residency_model_ready{model="a"} 1');
    expect(metrics).toMatch(/vram_residency_model_verified_age_seconds\{model="a"\} \d/);
    expect((await send('DELETE', '/v1/models/a')).status).toBe(204);
    expect((await send('GET', '/v1/models/a')).status).toBe(404);
    expect(await (await send('POST', '/v1/drain')).json()).toMatchObject({ state: 'draining' });
    expect((await send('GET', '/readyz')).status).toBe(503);
    expect((await send('GET', '/livez')).status).toBe(204);
    const refused = await send('POST', '/v1/models', { body: { name: 'b', path } });
    expect(refused.status).toBe(503);
    expect(refused.headers.get('content-type')).toBe('application/problem+json');
    expect(await refused.json()).toMatchObject({ code: 'STOPPED', retriable: false });
  });

  it('answer what is wrong with a request, by field', async () => {
    const { send } = await service();
    const refused = async (method: string, path: string, options?: Parameters<Send>[2]) => {
      const response = await send(method, path, options);
      const { code, detail, argument } = await response.json();
      return { status: response.status, code, detail, argument };
    };
    expect(await refused('GET', '/v1/nothing')).toMatchObject({ status: 404, code: 'NOT_FOUND' });
    expect(await refused('PUT', '/v1/models')).toMatchObject({
      status: 405,
      detail: 'this path allows GET, POST',
    });
    expect(await refused('POST', '/v1/plan', { body: '{' })).toMatchObject({
      status: 400,
      detail: 'the body is not JSON',
    });
    expect(await refused('POST', '/v1/plan', { body: { byteLength: 0 } })).toMatchObject({
      status: 400,
      detail: expect.stringContaining('"byteLength"'),
    });
    expect(await refused('POST', '/v1/plan', { body: { byteLength: 1, more: 2 } })).toMatchObject({
      status: 400,
    });
    expect(await refused('POST', '/v1/plan', { body: {} })).toMatchObject({ status: 400, argument: 'model' });
    expect(await refused('POST', '/v1/models', { body: { name: '../x', path: '/x' } })).toMatchObject({
      argument: 'name',
    });
    expect(await refused('POST', '/v1/models', { body: { name: 'm', path: '/m', share: 1 } })).toMatchObject({
      detail: '"share": Invalid input: expected boolean, received number',
    });
    expect(
      await refused('POST', '/v1/plan', {
        body: { byteLength: 1 },
        headers: { 'content-type': 'text/plain' },
      }),
    ).toMatchObject({
      status: 415,
    });
    expect(await refused('POST', '/v1/plan', { body: 'x'.repeat(1_048_577) })).toMatchObject({ status: 413 });
    expect(await refused('POST', '/v1/models/x/attest', { body: { nonce: '00' } })).toMatchObject({
      status: 400,
    });
  });

  it('are those of the OpenAPI document, with what they take and answer', async () => {
    const { send } = await service();
    const document = await (await send('GET', '/openapi.json')).json();
    expect(document.openapi).toBe('3.1.0');
    const told = Object.entries<Record<string, unknown>>(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    );
    expect(told.sort()).toEqual(ROUTES.map(({ method, path }) => `${method} ${path}`).sort());
    expect(Object.keys(document.components.schemas)).toEqual(
      expect.arrayContaining(['CommitRequest', 'Plan', 'Problem', 'Status']),
    );
    expect(document.paths['/v1/models'].post.responses).toHaveProperty('202');
    expect(document.paths['/livez'].get.security).toEqual([]);
    expect(JSON.stringify(document)).not.toContain('undefined');
  });
});

describe('tokens', () => {
  it('[WO-005] admit by role', async () => {
    const { tokens } = await threeTokens();
    const { send } = await service(tokens);
    expect((await send('GET', '/livez')).status).toBe(204);
    const none = await send('GET', '/v1/status');
    expect(none.status).toBe(401);
    expect(none.headers.get('www-authenticate')).toContain('Bearer');
    expect((await send('GET', '/v1/status', bearer('x'.repeat(40)))).status).toBe(401);
    for (const token of [READ, EXECUTE, ADMIN])
      expect((await send('GET', '/v1/status', bearer(token))).status).toBe(200);
    const plan = { body: { byteLength: 1 } };
    expect((await send('POST', '/v1/plan', { ...plan, ...bearer(READ) })).status).toBe(403);
    expect((await send('POST', '/v1/plan', { ...plan, ...bearer(EXECUTE) })).status).toBe(200);
    expect((await send('POST', '/v1/drain', bearer(EXECUTE))).status).toBe(403);
    expect((await send('DELETE', '/v1/models/x', bearer(EXECUTE))).status).toBe(403);
    expect((await send('DELETE', '/v1/models/x', bearer(ADMIN))).status).toBe(404);
  });

  it('are exchanged without a restart, two being good meanwhile', async () => {
    let now = 0;
    const { tokens, dir } = await threeTokens(() => now);
    const next = 'n'.repeat(40);
    await writeFile(join(dir, 'admin'), `${ADMIN}\n${next}\n`);
    now += 1_001;
    expect(await tokens.callerOf(next)).toMatchObject({ role: 'admin' });
    expect(await tokens.callerOf(ADMIN)).toMatchObject({ role: 'admin' });
    await writeFile(join(dir, 'admin'), `${next}\n`);
    now += 1_001;
    expect(await tokens.callerOf(ADMIN)).toBeNull();
    expect(await tokens.callerOf(next)).toMatchObject({
      fingerprint: expect.stringMatching(/^[0-9a-f]{6}$/),
    });
    await rm(join(dir, 'admin'));
    now += 1_001;
    expect(await tokens.callerOf(next)).toBeNull();
  });

  it('are not taken from files that others can read, nor short ones', async () => {
    const dir = await folder();
    const path = join(dir, 'token');
    const refused = () => Tokens.open({ admin: path }, () => 0);
    await expect(refused()).rejects.toMatchObject({ argument: 'tokens.admin' });
    await writeFile(path, ADMIN, { mode: 0o600 });
    await chmod(path, 0o644);
    await expect(refused()).rejects.toThrow(/others/);
    await chmod(path, 0o600);
    for (const text of [
      'short',
      '',
      `${ADMIN}\n${READ}\n${EXECUTE}`,
      `${'a'.repeat(20)} ${'b'.repeat(20)}`,
    ]) {
      await writeFile(path, text);
      await expect(refused()).rejects.toThrow(/one or two lines/);
    }
  });

  it('that are wrong are told to wait, and lock nobody out', async () => {
    const { tokens } = await threeTokens();
    const { send } = await service(tokens);
    const answers: number[] = [];
    for (let tries = 0; tries < 25; tries++)
      answers.push((await send('GET', '/v1/status', bearer(`${tries}`.padStart(40, 'x')))).status);
    expect(answers.filter((status) => status === 401)).toHaveLength(20);
    expect(answers.filter((status) => status === 429)).toHaveLength(5);
    expect((await send('GET', '/v1/status', bearer(READ))).status).toBe(200);
  });
});

describe('pages', () => {
  it('[WO-005] of other sites, or led here by another name, are refused', async () => {
    const { send } = await service(null, new Set(['localhost', 'localhost:8077']));
    expect((await send('GET', '/v1/status', { headers: { host: 'evil.example' } })).status).toBe(421);
    expect((await send('GET', '/v1/status', { headers: { origin: 'http://evil.example' } })).status).toBe(
      403,
    );
    expect((await send('GET', '/v1/status', { headers: { origin: 'null' } })).status).toBe(403);
    expect((await send('GET', '/v1/status', { headers: { origin: 'http://localhost' } })).status).toBe(200);
  });
});

describe('orders', () => {
  it('[WO-001] with one idempotency key are carried out once', async () => {
    const { send, write, settled, worker } = await service();
    const path = await write('a.bin', MIB);
    const order = { body: { name: 'a', path }, headers: { 'idempotency-key': 'k1' } };
    const answers = await Promise.all([send('POST', '/v1/models', order), send('POST', '/v1/models', order)]);
    const texts = await Promise.all(answers.map((answer) => answer.text()));
    expect(texts[0]).toBe(texts[1]);
    await settled('a');
    expect(await (await send('POST', '/v1/models', order)).text()).toBe(texts[0]);
    expect(worker.model('a').generation).toBe(1);
    const other = await send('POST', '/v1/models', { ...order, body: { name: 'b', path } });
    expect(other.status).toBe(409);
    const failed = { body: { name: 'c', path: '/nowhere' }, headers: { 'idempotency-key': 'k2' } };
    expect((await send('POST', '/v1/models', failed)).status).toBe(400);
    expect((await send('POST', '/v1/models', { ...failed, body: { name: 'c', path } })).status).toBe(202);
  });

  it('for another run of the worker, or of a scheduler that was overtaken, are refused', async () => {
    const { send, worker } = await service();
    const status = async (headers: Record<string, string>) =>
      (await send('DELETE', '/v1/models/x', { headers })).status;
    expect(await status({ 'x-instance': 'other' })).toBe(412);
    expect(await status({ 'x-instance': worker.instance })).toBe(404);
    expect(await status({ 'x-fence': 's:p:7' })).toBe(404);
    expect(await status({ 'x-fence': 's:p:6' })).toBe(412);
    expect(await status({ 'x-fence': 's:q:6' })).toBe(404);
    expect(await status({ 'x-fence': 'nonsense' })).toBe(400);
  });
});

describe('events', () => {
  it('are streamed, and resumed behind the last one seen', async () => {
    const { send, write, settled } = await service();
    const first = await send('GET', '/v1/events');
    expect(first.headers.get('content-type')).toBe('text/event-stream');
    await send('POST', '/v1/models', { body: { name: 'a', path: await write('a.bin', MIB) } });
    await settled('a');
    const seen = await readUntil(first, 'event: model.ready');
    expect(seen).toContain('event: model.loading');
    const [, id] = /id: (\d+)\nevent: model\.loading/.exec(seen) ?? [];
    const resumed = await readUntil(
      await send('GET', '/v1/events?model=a', { headers: { 'last-event-id': id ?? '' } }),
      'event: model.ready',
    );
    expect(resumed).not.toContain('event: model.loading');
  });

  it('end when the token of their reader is withdrawn, before the next event', async () => {
    let nowMs = 0;
    const { tokens, dir } = await threeTokens(() => nowMs);
    const { send, write, worker } = await service(tokens);
    const stream = await send('GET', '/v1/events', bearer(READ));
    const admins = await send('GET', '/v1/events', bearer(ADMIN));
    const reader = stream.body?.getReader();
    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe(': vram-residency\n\n');
    await writeFile(join(dir, 'read'), `${'n'.repeat(40)}\n`, { mode: 0o600 });
    nowMs += 2_000;
    await worker.commit({ name: 'a', path: await write('a.bin', MIB) });
    expect(await readUntil(admins, 'event: model.loading')).toContain('"model":"a"');
    expect(await reader?.read()).toMatchObject({ done: true });
  });
});

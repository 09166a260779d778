import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Admission, Tokens } from '../../../src/worker/http/index.js';
import { TestClock } from '../manager/fixture.js';

const READ = 'r'.repeat(40);
const ADMIN = 'a'.repeat(40);
const HOSTS = new Set(['worker.example', 'worker.example:8077']);
const clock = new TestClock();
let folder: string;
let tokens: Tokens;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vram-admission-'));
  for (const [role, token] of Object.entries({ read: READ, admin: ADMIN })) {
    await writeFile(join(folder, role), `${token}\n`, { mode: 0o600 });
  }
  const files = { read: join(folder, 'read'), admin: join(folder, 'admin') };
  tokens = await Tokens.open(files, () => clock.monotonic());
});
afterAll(() => rm(folder, { recursive: true }));

function admission(hosts: ReadonlySet<string> | null = HOSTS): Admission {
  return new Admission({ tokens, hosts, clock });
}

/** A request's headers, as the admission reads them. */
function sent(headers: Readonly<Record<string, string>>, method = 'POST') {
  return { method, header: (name: string) => headers[name] };
}

function checkOrigin(headers: Readonly<Record<string, string>>, hosts?: ReadonlySet<string> | null): void {
  admission(hosts).checkOrigin((name) => headers[name] ?? null);
}

function refused(code: string, status: number | null, message: string) {
  return expect.objectContaining({ name: 'ServiceError', code, status, message });
}

const OTHER_SITE = refused('AUTH_FAILED', 403, '"Origin" is another site');
const NOT_HERE = refused('INVALID_INPUT', 421, '"Host" is not a name of this worker');

describe('where a request comes from', () => {
  it('is a name of this worker, in any case', () => {
    for (const host of ['worker.example', 'WORKER.Example:8077']) checkOrigin({ host });
    for (const host of ['evil.example', 'worker.example:80', 'worker.example.evil.example']) {
      expect(() => checkOrigin({ host }), host).toThrow(NOT_HERE);
    }
    expect(() => checkOrigin({})).toThrow(NOT_HERE);
  });

  it('does not matter on a Unix socket, which has no names', () => {
    checkOrigin({}, null);
    checkOrigin({ host: 'anything' }, null);
  });

  it('is no page of another site', () => {
    checkOrigin({ host: 'worker.example', origin: 'http://worker.example' });
    checkOrigin({ host: 'Worker.example:8077', origin: 'https://worker.EXAMPLE:8077' });
    for (const origin of [
      'http://evil.example',
      'http://worker.example:8077',
      'null',
      'worker.example',
      '',
    ]) {
      expect(() => checkOrigin({ host: 'worker.example', origin }), origin).toThrow(OTHER_SITE);
    }
    expect(() => checkOrigin({ origin: 'http://worker.example' }, null)).toThrow(OTHER_SITE);
  });
});

describe('the credential of a request', () => {
  const cookie = 'vram_session=Ab_-9';

  it('is its bearer token; what else stands there is no credential, whatever the cookies say', () => {
    const authorization = `bearer ${ADMIN}`;
    expect(admission().credential(sent({ authorization, cookie }))).toBe(authorization);
    for (const bad of [
      '',
      'Basic x',
      'Bearer',
      'Bearer ',
      'Bearer a b',
      'x Bearer a',
      `Bearer ${'x'.repeat(4097)}`,
    ]) {
      expect(admission().credential(sent({ authorization: bad, cookie })), bad).toBeNull();
    }
  });

  it('is else the session among its cookies', () => {
    const credential = (cookies: string) => admission().credential(sent({ cookie: cookies }, 'GET'));
    expect(credential(cookie)).toBe(cookie);
    expect(credential(`a=1;  ${cookie} ; b=2`)).toBe(cookie);
    for (const none of ['', 'session=x', 'vram_session=', 'vram_session=a.b', 'xvram_session=a']) {
      expect(credential(none), none).toBeNull();
    }
    expect(credential(`vram_session=${'x'.repeat(65)}`)).toBeNull();
    expect(admission().credential(sent({}, 'GET'))).toBeNull();
  });

  it('needs an origin where a cookie changes something', () => {
    const origin = 'http://worker.example';
    expect(admission().credential(sent({ cookie }, 'GET'))).toBe(cookie);
    expect(admission().credential(sent({ cookie, origin }))).toBe(cookie);
    expect(() => admission().credential(sent({ cookie }))).toThrow(
      refused('AUTH_FAILED', 403, '"Origin" is required with a session cookie'),
    );
    expect(admission().credential(sent({}))).toBeNull();
  });
});

describe('who is admitted', () => {
  it('everybody as admin, where there are no tokens', async () => {
    const open = new Admission({ tokens: await Tokens.open({}, () => 0), hosts: null, clock });
    expect(await open.admit('admin', null)).toEqual({ role: 'admin', fingerprint: null });
    expect(await open.isStillAdmitted('admin', null)).toBe(true);
  });

  it('by a role that is enough', async () => {
    const one = admission();
    expect(await one.admit('read', `Bearer ${READ}`)).toMatchObject({ role: 'read' });
    expect(await one.admit('execute', `Bearer ${ADMIN}`)).toMatchObject({ role: 'admin' });
    await expect(one.admit('execute', `Bearer ${READ}`)).rejects.toEqual(
      refused('AUTH_FAILED', 403, 'this needs the role execute; the token has read'),
    );
    expect(await one.isStillAdmitted('read', `Bearer ${READ}`)).toBe(true);
    expect(await one.isStillAdmitted('execute', `Bearer ${READ}`)).toBe(false);
    expect(await one.isStillAdmitted('read', null)).toBe(false);
  });

  it('by a session, as its token', async () => {
    const one = admission();
    const cookie = `vram_session=${await one.beginSession(READ)}`;
    expect(await one.admit('read', cookie)).toEqual(await one.admit('read', `Bearer ${READ}`));
    one.endSession(sent({ cookie: 'vram_session=other' }));
    one.endSession(sent({}));
    expect(await one.isStillAdmitted('read', cookie)).toBe(true);
    one.endSession(sent({ cookie }));
    expect(await one.isStillAdmitted('read', cookie)).toBe(false);
  });

  it('nobody with a wrong token, of which 20 a second are answered as such', async () => {
    const one = admission();
    const wrong = `Bearer ${'w'.repeat(40)}`;
    const plain = refused('AUTH_FAILED', null, '"Authorization" must be a bearer token of this worker');
    for (let count = 0; count < 19; count++) await expect(one.admit('read', wrong)).rejects.toEqual(plain);
    await expect(one.beginSession('w')).rejects.toEqual(plain);
    // Asking whether it is still admitted counts as no attempt, and a right token is never told to wait.
    expect(await one.isStillAdmitted('read', wrong)).toBe(false);
    await expect(one.admit('read', null)).rejects.toMatchObject({
      code: 'QUEUE_FULL',
      message: 'too many wrong tokens; wait',
      retryAfterMs: 1_000,
    });
    expect(await one.admit('read', `Bearer ${READ}`)).toMatchObject({ role: 'read' });
    clock.turn(999);
    await expect(one.admit('read', wrong)).rejects.toMatchObject({ code: 'QUEUE_FULL' });
    clock.turn(1);
    await expect(one.admit('read', wrong)).rejects.toEqual(plain);
  });
});

import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/index.js';
import { Admission, type Listener, listen, Tokens, workerApp } from '../../../src/worker/http/index.js';
import { descriptorsOf, RudeClients, requireAlive, untilFlat } from '../../support/rude-clients.js';
import { type Rig, rig } from './fixture.js';

const MOST = 100;
/** Of a stream: where an overrun is told. */
const LAST_WORDS = 200;
const LIMITS = { mostConnections: MOST, headersMs: 300, requestMs: 600 };
let made: Rig;
let socket: string;
let start: (limits?: Parameters<typeof listen>[2]) => Promise<Listener>;
let listener: Listener;
let clients: RudeClients;
let before: number;

beforeEach(async () => {
  made = await rig();
  socket = join(made.root, 'worker.sock');
  const { worker } = made;
  const admission = new Admission({
    tokens: await Tokens.open({}, () => 0),
    hosts: null,
    clock: systemClock,
  });
  const onUnforeseen = (error: unknown): void => {
    throw error;
  };
  const app = workerApp({ worker, admission, clock: systemClock, mostStreams: 50, onUnforeseen });
  start = (limits = {}) => listen({ socket, trustOwner: null }, app, { ...LIMITS, ...limits });
  listener = await start();
  await requireAlive(socket);
  before = await descriptorsOf();
  clients = new RudeClients(socket);
});
afterEach(async () => {
  await clients[Symbol.asyncDispose]();
  await listener.close();
  await made[Symbol.asyncDispose]();
});

/** Whatever was done to it. */
async function requireUnharmed(): Promise<void> {
  await requireAlive(socket);
  await clients[Symbol.asyncDispose]();
  await untilFlat(before);
}

describe('a worker is not held up by', () => {
  it.each<[string, string, string | undefined]>([
    ['headers that come byte by byte', 'GET /livez HTTP/1.1\r\nx: ', 'x'],
    ['headers that do not end', 'GET /livez HTTP/1.1\r\nHost: localhost\r\n', undefined],
    ['connections that say nothing', '', undefined],
  ])('%s: they are ended', async (_, text, drip) => {
    await clients.crowd(MOST - 1, text, drip);
    await requireAlive(socket);
    await clients.untilEnded();
    await requireUnharmed();
  });

  const BODY =
    'POST /v1/plan HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n';

  it('bodies that come byte by byte: they are ended', async () => {
    await clients.crowd(MOST - 1, BODY, ' ');
    await requireAlive(socket);
    await clients.untilEnded();
    await requireUnharmed();
  });

  it('bodies that do not end: they are ended with 408', async () => {
    const all = await clients.crowd(MOST - 1, BODY);
    const answers = Promise.all(all.map((one) => clients.answerOn(one)));
    await requireAlive(socket);
    for (const answer of await answers) expect(answer).toContain('408 Request Timeout');
    await requireUnharmed();
  });

  it.each([
    ['a giant header', `x: ${'x'.repeat(20_000)}\r\n`],
    ['many headers', 'x: x\r\n'.repeat(20_000)],
    ['a giant name of a header', `${'x'.repeat(20_000)}: x\r\n`],
  ])('%s: it is refused with 431', async (_, header) => {
    const text = `GET /livez HTTP/1.1\r\nHost: localhost\r\n${header}\r\n`;
    const answers = await Promise.all((await clients.crowd(50, text)).map((one) => clients.answerOn(one)));
    for (const answer of answers) expect(answer).toContain('431 Request Header Fields Too Large');
    await requireUnharmed();
  });

  it('a giant path, nor by what is not HTTP', async () => {
    const [path, noise] = [
      `GET /${'x'.repeat(20_000)} HTTP/1.1\r\n\r\n`,
      '\x16\x03\x01\x02\x00\x01'.repeat(100),
    ];
    for (const text of [path, noise]) {
      const answers = await Promise.all((await clients.crowd(50, text)).map((one) => clients.answerOn(one)));
      for (const answer of answers) expect(answer).toMatch(/^HTTP\/1\.1 4(?:00|31) /);
    }
    await requireUnharmed();
  });

  it('too many connections: those beyond the limit are ended at once, the others later', async () => {
    await clients.crowd(5 * MOST);
    await clients.untilEnded(MOST, 2_000);
    await clients.untilEnded();
    await requireUnharmed();
  });

  it('readers of events who stop: each is told so and ended, and the others read on', async () => {
    const request = 'GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n';
    const stopped = await clients.crowd(10, request);
    for (const one of stopped) one.pause();
    const reading = await clients.connect(request);
    const read = (): string => clients.receivedOn(reading);
    await expect.poll(read).toContain(': vram-residency');
    const data = { text: 'x'.repeat(50_000) };
    for (let event = 1; event <= 40; event++) {
      made.worker.events.append({ type: 'worker.state', model: null, generation: null, shardId: null, data });
      // The one that reads takes some at a time: it is behind, but never by much.
      if (event % 10 === 0) await expect.poll(() => read().includes(`"id":${event},`)).toBe(true);
    }
    await requireAlive(socket);
    const told = Promise.all(stopped.map((one) => clients.answerOn(one)));
    for (const one of stopped) one.resume();
    for (const answer of await told) expect(answer.slice(-LAST_WORDS)).toContain('event: overrun');
    expect(read().includes('event: overrun')).toBe(false);
    await requireUnharmed();
  });

  it('callers who do not take their answers: they are ended', async () => {
    const request = 'GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n';
    await listener.close();
    listener = await start({ unreadMs: 300 });
    // Many at once on one connection: together they are more than the system buffers.
    const silent = await clients.crowd(5, request.repeat(100));
    for (const one of silent) one.pause();
    await requireAlive(socket);
    // Paused, they see no end of their own: the server's side is closed, which takes its descriptors away.
    await untilFlat(before + silent.length);
    for (const one of silent) one.resume();
    await requireUnharmed();
  });

  it('streams beyond the limit: they are refused, and those that end make room', async () => {
    const request = 'GET /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
    const open = await clients.crowd(50, request);
    await expect.poll(() => open.every(({ bytesRead }) => bytesRead > 0)).toBe(true);
    expect(await clients.answerOn(await clients.connect(request))).toContain('QUEUE_FULL');
    for (const one of open) one.destroy();
    await clients.untilEnded();
    const again = await clients.connect(request);
    await expect.poll(() => again.bytesRead).toBeGreaterThan(0);
    await requireUnharmed();
  });
});

import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { crowdBench, EXECUTION } from '../support/crowd-bench.js';
import { descriptorsOf, RudeClients, requireAlive, untilFlat } from '../support/rude-clients.js';

const CONNECTIONS = 10_000;
const READERS = 1_000;
/** Of other files that this process has open. */
const SPARE = 500;

/** Why this process cannot open so many; null where it can. */
async function tooMany(count: number): Promise<string | null> {
  const [, limit = '0'] =
    /Max open files\s+(\d+|unlimited)/.exec(await readFile('/proc/self/limits', 'utf8')) ?? [];
  const most = limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit);
  return most >= count + SPARE ? null : `this process may open ${most} files`;
}

const missing = await tooMany(CONNECTIONS);

describe('a worker', () => {
  it.skipIf(missing !== null)(
    `outlives ${CONNECTIONS} connections at a time${missing === null ? '' : ` (NOT RUN: ${missing})`}`,
    async () => {
      await using bench = await crowdBench({});
      const { socket, pid } = bench;
      await requireAlive(socket);
      const before = await descriptorsOf(pid);
      await using clients = new RudeClients(socket);
      await clients.crowd(CONNECTIONS);
      // All but those that its limit admits were ended at once; those follow, since they say nothing.
      await clients.untilEnded(1_024, 60_000);
      await clients.untilEnded(0, 60_000);
      await requireAlive(socket);
      await untilFlat(before, pid);
    },
  );

  it(`tells each of ${READERS} readers how an execution ended, once`, async () => {
    await using bench = await crowdBench({ mostStreams: READERS, mostConnections: READERS + 100 });
    const { socket, pid } = bench;
    await bench.begin();
    const before = await descriptorsOf(pid);
    await using clients = new RudeClients(socket);
    const request = `GET /v1/executions/${EXECUTION}/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
    const readers = await clients.crowd(READERS, request);
    const begun = (): number => readers.filter((one) => clients.receivedOn(one).includes('begun')).length;
    await expect.poll(begun, { timeout: 60_000 }).toBe(READERS);
    for (let token = 0; token < 50; token++) bench.say(`token ${token}`);
    bench.end();
    await clients.untilEnded(0, 120_000);
    for (const one of readers) {
      const text = clients.receivedOn(one);
      expect(text.match(/^event: (?:end|error)$/gm)).toEqual(['event: end']);
      expect(text.match(/^event: output$/gm)).toHaveLength(52);
    }
    await requireAlive(socket);
    await untilFlat(before, pid);
  });
});

import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addonTransport, ShareServer } from '../../src/handover/index.js';
import type { VramManager } from '../../src/manager/index.js';
import type { SealedShard } from '../../src/seal/index.js';
import { bytesSource } from '../../src/source/index.js';
import { cudaTestbed } from '../support/cuda.js';
import { findPython } from '../support/python.js';
import { failure, openHost, pattern } from '../unit/manager/fixture.js';

const CLIENT = fileURLToPath(new URL('share-client.py', import.meta.url));
const BYTES = 3 * 4096 + 17;
const CONTENT = pattern(BYTES);
const SHA256 = createHash('sha256').update(CONTENT).digest('hex');
const GROUP = 61_234;
/** More than the 32 that the addon asks the kernel for at first. */
const MANY_GROUPS = Array.from({ length: 60 }, (_, k) => 62_000 + k);
const OTHER_USER = 61_235;
const STATES = ['greeting', 'ready', 'handing', 'lent', 'paused', 'revoked'] as const;
type State = (typeof STATES)[number];
/** The memory is handed over in these. */
const MAPPED: ReadonlySet<State> = new Set(['handing', 'lent', 'paused', 'revoked']);

const bed = await cudaTestbed();
const python = findPython(process.env['PYTHON'] ?? 'python3');
const missing = bed.missing ?? python.missing;
const isRoot = process.geteuid?.() === 0;

/** What a descriptor of this process stands for; empty for one that is closed by now. */
function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return '';
  }
}

/** A client process, and its answers line by line. */
class Client {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(socket: string, state: State, prefix: readonly string[] = []) {
    if (python.missing !== null) throw new Error(python.missing);
    const [command = '', ...args] = [...prefix, python.python, CLIENT, socket, state];
    this.process = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    if (this.process.stdout === null) throw new Error('there is no stdout');
    this.#lines = createInterface(this.process.stdout)[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  async answer(): Promise<string> {
    const { value, done } = await this.#lines.next();
    return done === true ? 'ended' : value;
  }

  async order(line: string): Promise<string> {
    this.process.stdin?.write(`${line}\n`);
    return await this.answer();
  }

  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.process.once('close', resolve));
    this.process.kill('SIGKILL');
    await ended;
  }
}

describe(`clients in other processes, over the emulated driver${missing === null ? '' : ` (NOT RUN: ${missing})`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'share-'));
  const clients: Client[] = [];
  let manager: VramManager;
  let server: ShareServer;
  let shard: SealedShard;
  let socket = '';
  let sockets = 0;
  let healing: Promise<unknown> = Promise.resolve();

  beforeAll(async () => {
    if (missing !== null || bed.missing !== null) return;
    chmodSync(folder, 0o711);
    bed.emulator.reset();
    const device = await bed.backend().open(0, { drills: true });
    ({ manager } = await openHost({ options: { device, clock: undefined } }));
  });

  afterAll(async () => {
    for (const client of clients) await client.kill();
    await manager?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A shard and a server of its own for each test. */
  async function serve(
    options: { group?: number; releaseLimitMs?: number; pauseLimitMs?: number } = {},
  ): Promise<void> {
    if (bed.missing !== null) throw new Error(bed.missing);
    shard = await manager.seal(bytesSource(CONTENT), { share: true });
    sockets += 1;
    socket = join(folder, `${sockets}.sock`);
    server = await ShareServer.open(
      manager,
      { socket, models: { model: shard }, pauseLimitMs: 400, releaseLimitMs: 400, ...options },
      addonTransport(bed.addon),
    );
  }

  async function enter(state: State, prefix: readonly string[] = []): Promise<Client> {
    const client = new Client(socket, state, prefix);
    clients.push(client);
    if (state === 'paused' || state === 'revoked') {
      expect(await client.answer()).toBe('lent');
      await manager.drill(shard, { seed: 1 });
      if (state === 'paused')
        healing = manager.heal(shard, bytesSource(CONTENT)).catch((error: unknown) => error);
      else await failure(manager.verify(shard));
    }
    expect(await client.answer()).toBe(`at ${state}`);
    return client;
  }

  /** The shard, sound, in another client's hands: nothing that a client did stands in its way. */
  async function lendsAgain(): Promise<void> {
    await manager.heal(shard, bytesSource(CONTENT));
    const client = await enter('lent');
    expect(await client.order(`look ${BYTES}`)).toBe(SHA256);
    expect(await client.order('say {"type":"end"}')).toBe('said');
    expect(await client.order('gone')).toBe('gone');
    await client.kill();
  }

  /** Of memory, manifests, processes, and of what clients sent: not the pipes to the clients of this test. */
  const descriptors = (): number =>
    readdirSync('/proc/self/fd').filter((fd) => /memfd:|pidfd|\/dev\/null/.test(linkOf(fd))).length;

  it.skipIf(missing !== null).each(STATES)(
    '[SH-004] killed while %s: the memory is wiped, and nothing leaks',
    async (state) => {
      await serve();
      // The manifest's descriptor is kept for every client of the shard.
      await lendsAgain();
      const before = descriptors();
      const client = await enter(state);
      await client.kill();
      await expect.poll(() => server.leases()).toEqual([]);
      await lendsAgain();
      await expect.poll(descriptors).toBeLessThanOrEqual(before);
      expect(await manager.release(shard)).toMatchObject({ released: true, wiped: true });
      await server.close();
    },
  );

  it.skipIf(missing !== null).each(STATES)(
    '[SH-002] stopped while %s: a release gives up what it maps, and never overwrites it',
    async (state) => {
      await serve();
      const client = await enter(state);
      client.process.kill('SIGSTOP');
      // Past its limit the healing goes on without the client.
      await healing;
      const released = await manager.release(shard).catch((error: unknown) => error);
      client.process.kill('SIGCONT');
      if (!MAPPED.has(state)) {
        expect(released).toMatchObject({ released: true, wiped: true });
      } else {
        expect(released).toMatchObject({ code: 'RELEASE_FAILED' });
        expect((released as Error).message).toContain(String(client.pid));
        const seen = await client.order(`look ${BYTES}`);
        if (state === 'revoked')
          expect(seen).not.toBe(createHash('sha256').update(new Uint8Array(BYTES)).digest('hex'));
        else expect(seen).toBe(SHA256);
        expect(manager.status().orphanedBytes).toBeGreaterThanOrEqual(BYTES);
      }
      await client.kill();
      await expect.poll(() => manager.status().orphanedBytes).toBe(0);
      await server.close();
    },
  );

  it.skipIf(missing !== null)('[SH-003] hears of damage, healing and the end of both', async () => {
    await serve();
    const client = await enter('lent');
    await manager.drill(shard, { seed: 2 });
    expect(await client.order(`look ${BYTES}`)).not.toBe(SHA256);
    const healing = manager.heal(shard, bytesSource(CONTENT));
    expect(JSON.parse(await client.order('hear pause'))).toEqual({ type: 'pause', n: 1 });
    expect(await client.order('say {"type":"paused","n":1}')).toBe('said');
    expect((await healing).healedBlocks).toBe(1);
    expect(JSON.parse(await client.order('hear resume'))).toEqual({ type: 'resume', n: 1 });
    expect(await client.order(`look ${BYTES}`)).toBe(SHA256);
    await manager.drill(shard, { seed: 2 });
    await failure(manager.verify(shard));
    expect(JSON.parse(await client.order('hear revoked'))).toEqual({ type: 'revoked', reason: 'damaged' });
    await client.kill();
    await lendsAgain();
    await manager.release(shard);
    await server.close();
  });

  it.skipIf(missing !== null).each([
    ['a giant line', 'bytes 61 10000000'],
    ['a torn line', 'bytes 7b2274797065223a'],
    ['NUL bytes', 'bytes 00 100'],
    ['lines of nothing', 'bytes 0a 100000'],
    [
      'a million hellos',
      `bytes ${Buffer.from('{"type":"hello","versions":[1],"client":"x"}\n').toString('hex')} 1000000`,
    ],
    ['descriptors', 'descriptors'],
  ])('[SH-004] %s, in every state, end that connection alone', async (_, order) => {
    await serve();
    const good = await enter('lent');
    const before = descriptors();
    for (const state of ['greeting', 'ready', 'handing', 'lent'] as const) {
      const client = await enter(state);
      expect(await client.order(order)).toBe('sent');
      if (!order.includes('7b2274')) expect(await client.order('gone')).toBe('gone');
      await client.kill();
    }
    // A killed client's socket closes a little after its process.
    await expect.poll(() => server.leases()).toHaveLength(1);
    expect(await good.order(`look ${BYTES}`)).toBe(SHA256);
    expect((await manager.verify(shard)).verified).toBe(true);
    await expect.poll(descriptors).toBeLessThanOrEqual(before);
    expect(await good.order('say {"type":"end"}')).toBe('said');
    await manager.release(shard);
    await server.close();
  });

  it.skipIf(missing !== null)('that never reads is revoked in words when it reads again', async () => {
    await serve();
    const client = await enter('lent');
    await manager.drill(shard, { seed: 2 });
    await failure(manager.verify(shard));
    expect(JSON.parse(await client.order('hear revoked'))).toMatchObject({ reason: 'damaged' });
    await client.kill();
    await manager.release(shard);
    await server.close();
  });

  it.skipIf(missing !== null || !isRoot)(
    '[SH-004] of another user in more groups than the kernel was first asked for (as root)',
    async () => {
      await serve({ group: GROUP });
      const inGroups = (groups: readonly number[]): string[] => [
        ...['setpriv', `--reuid=${OTHER_USER}`, `--regid=${OTHER_USER}`],
        `--groups=${groups.join(',')}`,
      ];
      // The kernel sorts them: the group that counts comes neither first nor among the first 32.
      const low = MANY_GROUPS.map((group) => group - 10_000);
      const member = await enter('lent', inGroups([...low, GROUP, ...MANY_GROUPS]));
      expect(server.leases()).toMatchObject([{ uid: OTHER_USER, pid: member.pid }]);
      await member.kill();
      const stranger = new Client(socket, 'ready', inGroups([...low, ...MANY_GROUPS]));
      clients.push(stranger);
      expect(await stranger.answer()).toBe('ended');
      await manager.release(shard);
      await server.close();
    },
  );

  it.skipIf(missing !== null || !isRoot)(
    '[SH-004] of another user come in through the group alone (as root)',
    async () => {
      const as = (groups: string): string[] => [
        'setpriv',
        `--reuid=${OTHER_USER}`,
        `--regid=${OTHER_USER}`,
        groups,
      ];
      await serve({ group: GROUP });
      const member = await enter('lent', as(`--groups=${GROUP}`));
      expect(server.leases()).toMatchObject([{ uid: OTHER_USER, pid: member.pid }]);
      await member.kill();
      const stranger = new Client(socket, 'ready', as('--clear-groups'));
      clients.push(stranger);
      expect(await stranger.answer()).toBe('ended');
      await manager.release(shard);
      await server.close();
      await serve();
      const refused = new Client(socket, 'ready', as(`--groups=${GROUP}`));
      clients.push(refused);
      expect(await refused.answer()).toBe('ended');
      await manager.release(shard);
      await server.close();
    },
  );
});

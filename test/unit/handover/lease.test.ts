import { describe, expect, it } from 'vitest';
import { ShareLease } from '../../../src/handover/lease.js';
import { checkLimits } from '../../../src/handover/limits.js';
import type { Outbox } from '../../../src/handover/outbox.js';
import type { Loan } from '../../../src/manager/index.js';
import { TestClock } from '../manager/fixture.js';
import { settle } from './memory-transport.js';

const RELEASE_LIMIT_MS = 30_000;

/** A lease whose messages, and what its loan was told, are kept. */
function open({
  pid = 77,
  replaced = false,
}: {
  readonly pid?: number | null;
  readonly replaced?: boolean;
} = {}) {
  const clock = new TestClock();
  const said: unknown[] = [];
  const told: unknown[] = [];
  let exit: () => void = () => undefined;
  const exited = new Promise<void>((resolve) => {
    exit = resolve;
  });
  const outbox = {
    must: (message: unknown) => said.push(message),
    last: (message: unknown) => said.push(message),
  } as unknown as Outbox;
  const loan: Loan = {
    leaseId: 'lease',
    shards: [],
    revoked: async (reason) => void told.push(['revoked', reason]),
    end: async (how, gone) => void told.push(['end', how, gone === undefined ? 'now' : 'once it has exited']),
  };
  const lease = new ShareLease({
    clock,
    limits: checkLimits({ releaseLimitMs: RELEASE_LIMIT_MS }),
    outbox,
    peer: { pid, uid: 0, gid: 0, groups: [] },
    processExited: () => exited,
    replaced: () => replaced,
  });
  return { lease, loan, clock, said, told, exit };
}

type Open = ReturnType<typeof open>;

/** Handed over, received and lent. */
function lent(options?: Parameters<typeof open>[0]): Open {
  const opened = open(options);
  opened.lease.begin(opened.loan);
  opened.lease.handOver();
  opened.lease.lend(() => undefined);
  return opened;
}

describe('a lease that is revoked', () => {
  it('before its shards are registered says so once they are', () => {
    const { lease, loan, said, told } = open();
    lease.revoke('damaged');
    expect([said, told]).toEqual([[], []]);
    lease.begin(loan);
    expect(said).toEqual([{ type: 'revoked', reason: 'damaged' }]);
    expect(told).toEqual([['revoked', 'damaged']]);
  });

  it('before all of it was received is never lent', () => {
    const { lease, loan } = open();
    lease.begin(loan);
    lease.revoke('stopped');
    let announced = false;
    lease.lend(() => {
      announced = true;
    });
    expect([lease.state, announced]).toEqual(['revoked', false]);
  });

  it('gives the first reason alone: `replaced` only for a release after which another generation has its name', () => {
    for (const [reason, replaced, given] of [
      ['released', true, 'replaced'],
      ['released', false, 'released'],
      ['damaged', true, 'damaged'],
      ['stopped', true, 'stopped'],
    ] as const) {
      const { lease, said, told } = lent({ replaced });
      lease.revoke(reason);
      lease.revoke('stopped');
      expect(said).toEqual([{ type: 'revoked', reason: given }]);
      expect(told).toEqual([['revoked', given]]);
    }
  });

  it('is not asked to pause, and is not revoked once it has ended', async () => {
    const { lease, said, told } = lent();
    lease.revoke('damaged');
    await lease.pause();
    lease.end('end');
    await lease.pause();
    lease.revoke('stopped');
    expect(lease.state).toBe('ended');
    expect(said).toEqual([{ type: 'revoked', reason: 'damaged' }]);
    expect(told).toEqual([
      ['revoked', 'damaged'],
      ['end', 'end', 'now'],
    ]);
  });
});

describe('a pause', () => {
  it('for two repairs at once is asked for once, and ends with the second', async () => {
    const { lease, said } = lent();
    const both = Promise.all([lease.pause(), lease.pause()]);
    expect(said).toEqual([{ type: 'pause', n: 1 }]);
    lease.paused(1);
    await both;
    lease.resume();
    expect(lease.state).toBe('paused');
    lease.resume();
    expect(lease.state).toBe('lent');
    expect(said.at(-1)).toEqual({ type: 'resume', n: 1 });
    // One resume too many changes nothing of the next pause.
    lease.resume();
    const next = lease.pause();
    lease.paused(2);
    await next;
    lease.resume();
    expect(said.slice(2)).toEqual([
      { type: 'pause', n: 2 },
      { type: 'resume', n: 2 },
    ]);
  });

  it('during the handover is not asked for, and `lent` waits for the end of it', async () => {
    const { lease, loan, said } = open();
    lease.begin(loan);
    await lease.pause();
    await lease.pause();
    let announced = 0;
    lease.lend(() => announced++);
    lease.resume();
    expect([lease.state, announced]).toEqual(['handing', 0]);
    lease.resume();
    expect([lease.state, announced]).toEqual(['lent', 1]);
    expect(said).toEqual([]);
  });

  it.each(['end', 'closed', 'cut'] as const)('is over for a client whose lease ends: %s', async (how) => {
    const { lease, clock } = lent();
    const pausing = lease.pause();
    lease.end(how);
    await pausing;
    await settle();
    expect(clock.waiting).toBe(0);
  });
});

describe('a lease whose connection is cut', () => {
  it('counts until its process is gone, whatever is said meanwhile, and ends once', async () => {
    const { lease, told, exit } = lent();
    lease.end('cut');
    lease.end('closed');
    expect(lease.state).toBe('revoked');
    expect(told).toEqual([['end', 'cut', 'once it has exited']]);
    let ended = false;
    void lease.ended.then(() => {
      ended = true;
    });
    await settle();
    expect(ended).toBe(false);
    exit();
    await settle();
    expect([lease.state, ended]).toEqual(['ended', true]);
    expect(told.slice(1)).toEqual([['end', 'cut', 'now']]);
  });

  it.each<[string, Open]>([
    ['in another PID namespace', lent({ pid: null })],
    [
      'that was handed nothing',
      (() => {
        const opened = open();
        opened.lease.begin(opened.loan);
        return opened;
      })(),
    ],
  ])('%s ends with the connection', (_, { lease, told }) => {
    lease.end('cut');
    expect(lease.state).toBe('ended');
    expect(told).toEqual([['end', 'cut', 'now']]);
    lease.end('closed');
    expect(told).toHaveLength(1);
  });

  it.each([false, true])('has releaseLimitMs from then on, or from its revocation: %s', async (revoked) => {
    const { lease, clock } = lent();
    if (revoked) lease.revoke('released');
    clock.turn(10_000);
    lease.end('cut');
    clock.turn(5_000);
    let survivor: unknown = 'none yet';
    void lease.leave().then((found) => {
      survivor = found;
    });
    const left = RELEASE_LIMIT_MS - (revoked ? 15_000 : 5_000);
    await settle();
    clock.turn(left - 1);
    await settle();
    expect(survivor).toBe('none yet');
    clock.turn(1);
    await settle();
    expect(survivor).toMatchObject({ pid: 77 });
  });
});

describe('a client that leaves', () => {
  it('leaves nobody behind where it was handed nothing, has ended, or exits in time', async () => {
    expect(await open().lease.leave()).toBeNull();
    const over = lent();
    over.lease.end('end');
    expect(await over.lease.leave()).toBeNull();
    const exiting = lent();
    exiting.lease.revoke('released');
    const leaving = exiting.lease.leave();
    exiting.exit();
    expect(await leaving).toBeNull();
    expect(exiting.clock.waiting).toBe(0);
  });

  it('is a survivor at once where its time is up already', async () => {
    const { lease, clock } = lent();
    lease.revoke('released');
    clock.turn(RELEASE_LIMIT_MS);
    expect(await lease.leave()).toMatchObject({ pid: 77 });
    expect(clock.waiting).toBe(0);
  });
});

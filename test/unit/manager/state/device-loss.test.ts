import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, pattern, Recorder, TestClock } from '../fixture.js';

const bytes = pattern(10_000);

/** What `work` left rejected and unhandled. The runner, which would fail the run for it, is not told. */
async function unhandledRejections(work: () => Promise<void>): Promise<unknown[]> {
  const seen: unknown[] = [];
  const others = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', (reason) => seen.push(reason));
  try {
    await work();
  } finally {
    process.removeAllListeners('unhandledRejection');
    for (const other of others) process.on('unhandledRejection', other);
  }
  return seen;
}

describe('the end of a device', () => {
  it('[ST-003] that its owner closes is a loss, told whole; leases end with it', async () => {
    const { manager, recorder, device } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const leased = await failure(
      manager.execute(shard, async (lease) => {
        recorder.events.length = 0;
        void device.close();
        await new Promise((resolve) => setTimeout(resolve, 5));
        expect(lease.signal.reason).toMatchObject({ code: 'DEVICE_LOST' });
      }),
    );
    expect(leased).toMatchObject({
      code: 'DEVICE_LOST',
      message: 'the device is lost: the device was closed',
    });
    expect(manager.status().state).toBe('lost');
    expect(recorder.events.filter(({ operation }) => operation === 'stop')).toMatchObject([
      { type: 'operation.started' },
      { type: 'device.lost', reason: 'the device was closed', shards: 1, shardId: null, durationMs: null },
      { type: 'operation.finished', ok: true },
    ]);
    await manager.close();
  });

  it('[ST-003] is in force although nobody could be told of it', async () => {
    const recorder = new Recorder(true);
    const { manager, device } = await openHost({ recorder });
    const shard = await manager.seal(bytesSource(bytes));
    recorder.refuse = ({ operation }) => operation === 'stop';
    const unhandled = await unhandledRejections(async () => {
      await device.close();
      await new Promise((resolve) => setTimeout(resolve, 5));
    });
    expect(unhandled).toEqual([]);
    expect(recorder.of('device.lost')).toEqual([]);
    expect(manager.status().state).toBe('lost');
    expect(await failure(manager.verify(shard))).toMatchObject({ code: 'DEVICE_LOST' });
    await manager.close();
  });

  it('[ST-003] that cannot even be dated is in force, and the fault of the clock is not hidden', async () => {
    const clock = new TestClock();
    const { manager, device } = await openHost({ options: { clock } });
    const fault = new Error('the clock stopped');
    const unhandled = await unhandledRejections(async () => {
      clock.now = () => {
        throw fault;
      };
      await device.close();
      await new Promise((resolve) => setTimeout(resolve, 5));
    });
    expect(unhandled).toEqual([fault]);
    expect(manager.status().state).toBe('lost');
    clock.now = () => 0;
    await manager.close();
  });

  it("after the manager closed is nobody's loss", async () => {
    const { manager, recorder, device } = await openHost();
    await manager.close();
    await device.close();
    await new Promise((resolve) => setTimeout(resolve, 3));
    expect(recorder.of('device.lost')).toEqual([]);
    expect(manager.status().state).toBe('closed');
  });
});

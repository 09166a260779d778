import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, pattern, Recorder } from '../fixture.js';

const bytes = pattern(3 * 524_288 + 5000);

describe('[MS-005] release', () => {
  it('a second time does nothing, and says so: nothing freed, nothing wiped, nothing left to record', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(5000)));
    expect(await manager.release(shard)).toMatchObject({ released: true, wiped: true, recorded: true });
    recorder.events.length = 0;
    expect(await manager.release(shard)).toEqual({
      released: false,
      freedBytes: 0,
      wiped: false,
      recorded: true,
    });
    expect(recorder.of('vram.deallocated')).toEqual([]);
    await manager.close();
  });

  it('waits for a lease; another one meanwhile counts as a second, and nothing new is begun', async () => {
    const { manager, device } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(5000)));
    let end: () => void = () => undefined;
    const running = new Promise<void>((resolve) => {
      end = resolve;
    });
    let entered: () => void = () => undefined;
    const inside = new Promise<void>((resolve) => {
      entered = resolve;
    });
    const execution = manager.execute(shard, async () => {
      entered();
      await running;
    });
    const rejected = failure(execution);
    await inside;
    let released = false;
    const first = manager.release(shard).finally(() => {
      released = true;
    });
    // The first one has looked the handle up and waits for the lease by now.
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await manager.release(shard)).toMatchObject({ released: false });
    expect(await failure(manager.verify(shard))).toMatchObject({ code: 'NOT_FOUND' });
    expect(released).toBe(false);
    expect(device.stats().liveRegions).toBe(1);
    end();
    expect(await first).toMatchObject({ released: true });
    expect(await rejected).toMatchObject({ code: 'NOT_FOUND' });
    await manager.close();
  });

  it('on a lost device frees what was counted, and says that nothing was overwritten', async () => {
    let lose: (reason: string) => void = () => undefined;
    const lost = new Promise<string>((resolve) => {
      lose = resolve;
    });
    const { manager, recorder } = await openHost({ inject: { lost } });
    const shard = await manager.seal(bytesSource(pattern(5000)));
    lose('the bus fell off');
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await manager.release(shard)).toEqual({
      released: true,
      freedBytes: 8192,
      wiped: false,
      recorded: true,
    });
    expect(recorder.of('vram.deallocated')).toMatchObject([{ wiped: false, usedBytes: 0 }]);
    await manager.close();
  });

  it('that cannot overwrite says what to do, with the device failure as its cause', async () => {
    let armed = false;
    const { manager } = await openHost({
      inject: {
        wipe: (memory) => {
          if (armed) throw new Error('injected');
          memory.fill(0);
        },
      },
    });
    armed = true;
    const shard = await manager.seal(bytesSource(pattern(5000)));
    const error = await failure(manager.release(shard));
    expect(error).toMatchObject({
      code: 'RELEASE_FAILED',
      message: 'the memory was freed, but perhaps not overwritten first; take the device out of use',
      cause: { code: 'RELEASE_FAILED' },
    });
    await manager.close();
  });
});

describe('release', () => {
  it('[MS-005] [RP-005] twice is safe, each release is told of once', async () => {
    const { manager, recorder, device } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const both = await Promise.all([manager.release(shard), manager.release(shard)]);
    expect(both.map(({ released }) => released).sort()).toEqual([false, true]);
    expect(await manager.release(shard)).toMatchObject({ released: false, freedBytes: 0 });
    expect(recorder.of('vram.deallocated')).toHaveLength(1);
    expect(device.stats().liveBytes).toBe(0);
    expect((await manager.capacity()).usedBytes).toBe(0);
    await manager.close();
  });

  it('[MS-008] overwrites memory with zeros first', async () => {
    const freed: Uint8Array[] = [];
    const { manager } = await openHost({ inject: { freed: (segment) => freed.push(segment) } });
    const before = freed.length;
    const shard = await manager.seal(bytesSource(bytes));
    await manager.release(shard);
    expect(freed.length).toBeGreaterThan(before);
    expect(freed.slice(before).every((segment) => segment.every((byte) => byte === 0))).toBe(true);
    await manager.close();
  });

  it('[MS-004] that cannot overwrite is RELEASE_FAILED, told of, and leaks no accounting', async () => {
    let broken = false;
    const { manager, recorder } = await openHost({
      inject: {
        wipe: (segment) => {
          if (broken) throw new Error('stuck');
          segment.fill(0);
        },
      },
    });
    const shard = await manager.seal(bytesSource(bytes), { shardId: 'a' });
    broken = true;
    expect(await failure(manager.release(shard))).toMatchObject({ code: 'RELEASE_FAILED', scope: 'device' });
    expect(recorder.of('vram.deallocated')).toMatchObject([
      { wiped: false, error: { code: 'RELEASE_FAILED' } },
    ]);
    expect((await manager.capacity()).usedBytes).toBe(0);
    expect(await manager.release(shard)).toMatchObject({ released: false });
    broken = false;
    await manager.seal(bytesSource(bytes), { shardId: 'a' });
    await manager.close();
  });

  it('[AU-005] is never held up by an observer; an unrecorded one is counted, and recorded on recovery', async () => {
    const recorder = new Recorder(true);
    const { manager } = await openHost({ recorder });
    const shards = [await manager.seal(bytesSource(bytes)), await manager.seal(bytesSource(bytes))];
    recorder.refuse = () => true;
    for (const shard of shards)
      expect(await manager.release(shard)).toMatchObject({ released: true, recorded: false });
    expect(manager.status().unrecordedReleases).toBe(2);
    expect(recorder.of('vram.deallocated')).toHaveLength(0);
    expect(await failure(manager.seal(bytesSource(bytes)))).toMatchObject({ code: 'AUDIT_FAILED' });
    recorder.refuse = () => false;
    await manager.capacity();
    expect(manager.status().unrecordedReleases).toBe(0);
    expect(recorder.of('vram.deallocated').map(({ shardId }) => shardId)).toEqual(
      shards.map(({ shardId }) => shardId),
    );
    await manager.close();
  });
});

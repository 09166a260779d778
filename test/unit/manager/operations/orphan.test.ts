import { describe, expect, it } from 'vitest';
import { borrower, closeAll, HELLO, receive, type Shared, share } from '../../handover/fixture.js';
import { settle } from '../../handover/memory-transport.js';
import { failure } from '../fixture.js';

const LIMIT_MS = 2000;

/** Releases the shared shard although its clients keep it mapped; the error of that release. */
async function outlived({ manager, shard, clock }: Shared): Promise<Awaited<ReturnType<typeof failure>>> {
  const releasing = failure(manager.release(shard));
  await settle();
  clock.turn(LIMIT_MS);
  return await releasing;
}

describe('memory that other processes still map', () => {
  it('[SH-002] is reported with their process ids, and as freed once they are gone', async () => {
    const shared = await share({ releaseLimitMs: LIMIT_MS });
    const { manager, recorder } = shared;
    const client = await borrower(shared);
    const error = await outlived(shared);
    expect(error).toMatchObject({
      code: 'RELEASE_FAILED',
      message:
        'processes did not release the memory in time: 4242; it was unmapped here and not overwritten, and its 16384 ' +
        'bytes count as orphaned until they exit',
    });
    expect(error.cause).toBeUndefined();
    expect(manager.status()).toMatchObject({ liveShards: 0, orphanedBytes: 16_384 });
    await client.die();
    expect(recorder.of('vram.deallocated')).toMatchObject([
      { freedBytes: 0, wiped: false, error: { code: 'RELEASE_FAILED', message: error.message } },
      { freedBytes: 16_384, usedBytes: 0, wiped: false, error: null },
    ]);
    await closeAll(shared);
  });

  it('that cannot be unmapped here says so, with the reason as its cause', async () => {
    const shared = await share({ releaseLimitMs: LIMIT_MS });
    await borrower(shared);
    const refused = new Error('the driver refused');
    for (const region of shared.regions) region.refuse = refused;
    const error = await outlived(shared);
    expect(error.message).toContain('it was to be unmapped here, which failed and not overwritten');
    expect(error.cause).toBe(refused);
    for (const region of shared.regions) region.refuse = null;
    await closeAll(shared);
  });

  it('of many processes names sixteen of them, and counts the others', async () => {
    const shared = await share({ releaseLimitMs: LIMIT_MS });
    for (let pid = 1001; pid <= 1018; pid++) {
      const client = await shared.transport.connect({ pid });
      await client.say(HELLO);
      await client.say({ type: 'lend', model: 'model' });
      await receive(client);
    }
    const { message } = await outlived(shared);
    expect(message).toContain(
      `in time: ${Array.from({ length: 16 }, (_, at) => 1001 + at).join(', ')} and 2 more; `,
    );
    await closeAll(shared);
  });

  it('[ST-003] is not waited for on a lost device, which nobody can map any more', async () => {
    let lose: (reason: string) => void = () => undefined;
    const lost = new Promise<string>((resolve) => {
      lose = resolve;
    });
    const shared = await share({ releaseLimitMs: LIMIT_MS }, { inject: { lost } });
    await borrower(shared);
    lose('the bus fell off');
    await settle();
    expect(await shared.manager.release(shared.shard)).toMatchObject({ released: true, wiped: false });
    expect(shared.manager.status().orphanedBytes).toBe(0);
    await closeAll(shared);
  });

  it('is no event of a manager that has closed', async () => {
    const shared = await share({ releaseLimitMs: LIMIT_MS });
    const client = await borrower(shared);
    await outlived(shared);
    await closeAll(shared);
    const before = shared.recorder.of('vram.deallocated').length;
    await client.die();
    expect(shared.recorder.of('vram.deallocated')).toHaveLength(before);
  });
});

import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, pattern, regionsOf } from '../fixture.js';

describe('[ST-001] quarantine', () => {
  it('says why, to those who are told and to whoever holds a lease', async () => {
    const { wrap, flip } = regionsOf();
    const { manager, recorder } = await openHost({ wrap, options: { onVerificationFailure: 'stop' } });
    const shard = await manager.seal(bytesSource(pattern(5000)));
    const leased = failure(
      manager.execute(shard, async (lease) => {
        await flip(0, 10, 1);
        await failure(manager.verify(shard));
        throw lease.signal.reason;
      }),
    );
    expect(await leased).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      message: 'the shard was found damaged while the lease was running',
    });
    expect(recorder.of('shard.quarantined')).toMatchObject([
      { reason: 'damaged bytes in device memory', leasesRevoked: 1, sealId: shard.sealId },
    ]);
    expect(recorder.of('manager.stopped')).toMatchObject([{ reason: 'damaged bytes in device memory' }]);
    expect(manager.status().quarantined).toEqual([shard.shardId]);
    await manager.close();
  });
});

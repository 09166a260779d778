import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/index.js';
import type { EventType } from '../../../../src/events/events.js';
import { VramManager } from '../../../../src/manager/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import {
  DISCRETE,
  failure,
  lieAboutRoot,
  openHost,
  overlay,
  pattern,
  platform,
  Recorder,
  regionsOf,
  wrapRegions,
} from '../fixture.js';

const bytes = pattern(1_048_576);
const unrecorded = expect.objectContaining({
  code: 'AUDIT_FAILED',
  message: 'the required observer "recorder" failed',
});
/** The cause of a verdict that had one of its own: both, the observer's failure first. */
const bothCauses = (own: unknown) => expect.objectContaining({ errors: [unrecorded, own] });

/** Cannot take one type of event. */
function without(type: EventType): Recorder {
  const recorder = new Recorder(true);
  recorder.refuse = (event) => event.type === type;
  return recorder;
}

describe('[AU-005] an unrecorded verdict stays the error, and the failure of the audit becomes its cause', () => {
  it('open: a policy that refuses the device', async () => {
    const options = { workerId: 'w', policy: 'gpu', observers: [without('policy.violation')] } as const;
    const error = await failure(VramManager.open({ ...options, device: 'host' }, platform()));
    expect(error).toMatchObject({ code: 'POLICY_VIOLATION', cause: unrecorded });
  });

  it('allocate: a policy that refuses the device later', async () => {
    const facts = { ...DISCRETE };
    const { manager } = await openHost({
      recorder: without('policy.violation'),
      wrap: (device) => overlay(device, { info: { ...device.info, facts } }),
      options: { policy: 'vram-only' },
    });
    Object.assign(facts, { driverOverride: true });
    const error = await failure(manager.seal(bytesSource(bytes)));
    expect(error).toMatchObject({ code: 'POLICY_VIOLATION', cause: unrecorded });
    await manager.close();
  });

  it('allocate: a device that has no memory left', async () => {
    const driver = new Error('the driver says no');
    const refusal = new VramError('INSUFFICIENT_VRAM', 'no memory left', { neededBytes: 7, cause: driver });
    const { manager } = await openHost({
      recorder: without('vram.allocation_failed'),
      wrap: (device) => overlay(device, { allocate: () => Promise.reject(refusal) }),
    });
    const error = await failure(manager.seal(bytesSource(bytes)));
    expect(error).toMatchObject({
      code: 'INSUFFICIENT_VRAM',
      message: 'no memory left',
      neededBytes: 7,
      cause: bothCauses(driver),
    });
    await manager.close();
  });

  it('seal: bytes that did not arrive as they were', async () => {
    const { manager } = await openHost({
      recorder: without('seal.verification_failed'),
      wrap: (device) => lieAboutRoot(device, Number.POSITIVE_INFINITY),
    });
    const error = await failure(manager.seal(bytesSource(bytes)));
    expect(error).toMatchObject({ code: 'INTEGRITY_VIOLATION', cause: unrecorded });
    await manager.close();
  });

  it('resolve: a handle that is not genuine', async () => {
    const { manager } = await openHost({ recorder: without('seal.verification_failed') });
    const error = await failure(manager.verify('{"v":1,"v":1}'));
    expect(error).toMatchObject({
      code: 'SEAL_VERIFICATION_FAILED',
      cause: bothCauses(expect.objectContaining({ code: 'INVALID_INPUT' })),
    });
    await manager.close();
  });

  it.each(['seal.verification_failed', 'shard.quarantined', 'damage.located'] as const)(
    'verify: damage, where %s is lost',
    async (type) => {
      const recorder = without(type);
      const { wrap, flip } = regionsOf();
      const { manager } = await openHost({ recorder, wrap, options: { keep: 'groups' } });
      const shard = await manager.seal(bytesSource(bytes));
      await flip(0, 5, 1);
      const gone = new Error('the disk was pulled');
      const source = { ...bytesSource(bytes), readRange: () => Promise.reject(gone) };
      const error = await failure(manager.verify(shard, { source }));
      expect(error).toMatchObject({
        code: 'INTEGRITY_VIOLATION',
        report: { verified: false, damagedGroups: 1, exact: false },
        cause: bothCauses(expect.objectContaining({ code: 'INVALID_INPUT', cause: gone })),
      });
      await manager.close();
    },
  );

  it('verify: two answers about the same bytes', async () => {
    let lie = false;
    const { manager } = await openHost({
      recorder: without('seal.verification_failed'),
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            root: async () => {
              const { root, blocks } = await region.root();
              if (lie) root[0] = (root[0] ?? 0) ^ 1;
              lie = false;
              return { root, blocks };
            },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(bytes));
    lie = true;
    const error = await failure(manager.verify(shard));
    expect(error).toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      report: { transient: true },
      cause: unrecorded,
    });
    await manager.close();
  });

  it('verify: a sample of a shard in quarantine', async () => {
    const recorder = new Recorder(true);
    const { wrap, flip } = regionsOf();
    const { manager } = await openHost({ recorder, wrap });
    const shard = await manager.seal(bytesSource(bytes));
    await flip(0, 5, 1);
    await failure(manager.verify(shard));
    await flip(0, 5, 1);
    recorder.refuse = (event) => event.type === 'seal.verification_failed';
    const error = await failure(manager.verify(shard, { mode: 'sampled', groups: 2 }));
    expect(error).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      report: { sampled: true },
      cause: unrecorded,
    });
    await manager.close();
  });
});

import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/source/index.js';
import { failure, openHost, pattern } from '../manager/fixture.js';
import { sharingDevice } from './shared-device.js';

describe('seal with share', () => {
  it('says in a version 2 seal that others can map the memory, and that nothing but this library keeps it', async () => {
    const { manager } = await openHost({ wrap: (device) => sharingDevice(device) });
    const sealed = await manager.seal(bytesSource(pattern(5000)), { share: true });
    expect(sealed).toMatchObject({
      v: 2,
      layout: 'bytes',
      tensors: null,
      source: null,
      shared: true,
      immutability: 'api-only',
    });
    expect((await manager.verify(sealed)).verified).toBe(true);
    await manager.close();
  });

  it('changes nothing about other seals', async () => {
    const { manager } = await openHost({ wrap: (device) => sharingDevice(device) });
    const sealed = await manager.seal(bytesSource(pattern(5000)), { share: false });
    expect(sealed.v).toBe(1);
    expect(sealed).not.toHaveProperty('shared');
    await manager.close();
  });

  it('is refused in words where memory stays in this process, and leaves nothing behind', async () => {
    const { manager, device } = await openHost();
    const error = await failure(manager.seal(bytesSource(pattern(5000)), { share: true }));
    expect(error).toMatchObject({ code: 'INVALID_INPUT', argument: 'share' });
    expect(error.message).toContain('needs a CUDA device');
    expect(device.stats().liveRegions).toBe(0);
    expect(manager.status().liveShards).toBe(0);
    const wrong = manager.seal(bytesSource(pattern(5000)), { share: 'yes' as never });
    expect(await failure(wrong)).toMatchObject({ code: 'INVALID_INPUT', argument: 'share' });
    await manager.close();
  });
});

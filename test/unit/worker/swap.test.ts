import { expect, it } from 'vitest';
import { hostBackend } from '../../../src/device/index.js';
import type { Observer } from '../../../src/events/index.js';
import { regionsOf } from '../manager/fixture.js';
import { MIB, rig } from './fixture.js';

it('[WO-002] a generation that is damaged between its seal and the swap does not take over', async () => {
  const seen = regionsOf();
  const device = seen.wrap(await hostBackend().open(0, { drills: true }));
  let sealed = 0;
  const saboteur: Observer = {
    name: 'saboteur',
    required: true,
    // Sealing waits for this.
    async on({ type }) {
      if (type === 'vram.sealed' && ++sealed === 2) await seen.flip(seen.regions.length - 1, 9, 1);
    },
  };
  await using made = await rig({}, { device, drills: true, observers: [saboteur] });
  const { worker } = made;
  const path = await made.write('m.bin', MIB);
  for (const _generation of [1, 2]) {
    await worker.commit({ name: 'm', path });
    await made.settled('m');
  }
  expect(worker.model('m')).toMatchObject({
    generation: 1,
    state: 'ready',
    next: { generation: 2, failure: { code: 'INTEGRITY_VIOLATION' } },
  });
  expect((await worker.verify('m')).ok).toBe(true);
});

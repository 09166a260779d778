import type { AllocateOptions, Device, Region, SharedMemory } from '../../../src/device/index.js';
import { overlay } from '../manager/fixture.js';

/** What became of one region's memory. */
export interface SharedRegion {
  readonly memory: SharedMemory;
  fate: 'held' | 'wiped' | 'abandoned';
  /** What abandon() fails with. */
  refuse: Error | null;
}

/** The host device, whose regions pretend that other processes can map them; `regions` says what became of them. */
export function sharingDevice(device: Device, regions: SharedRegion[] = []): Device {
  return overlay(device, {
    allocate: async (byteLength: number, { share, ...options }: AllocateOptions = {}): Promise<Region> => {
      const region = await device.allocate(byteLength, options);
      if (share !== true) return region;
      const shared: SharedRegion = {
        memory: { mappedBytes: region.allocatedBytes },
        fate: 'held',
        refuse: null,
      };
      regions.push(shared);
      return overlay(region, {
        shared: shared.memory,
        release: async () => {
          if (shared.fate === 'held') shared.fate = 'wiped';
          await region.release();
        },
        abandon: async () => {
          if (shared.refuse !== null) throw shared.refuse;
          if (shared.fate === 'held') shared.fate = 'abandoned';
          await region.release();
        },
      });
    },
  });
}

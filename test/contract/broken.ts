import type { Device, OpenOptions, Region } from '../../src/device/types.js';
import type { ContractTarget } from './context.js';

/** Replacements for some members of `T`, made from a sound one. */
export type Breaking<T> = (sound: T) => Partial<T>;

/** `sound` with some members replaced. A proxy: private fields do not survive copying, and methods need the real `this`. */
export function overlay<T extends object>(sound: T, replaced: Partial<T>): T {
  return new Proxy(sound, {
    get: (target, key) => {
      const value: unknown = Reflect.get(key in replaced ? replaced : target, key);
      return typeof value === 'function' && !(key in replaced) ? value.bind(target) : value;
    },
  });
}

/** What is broken: the device's own members, or those of every region that it gives. */
export interface Breakage {
  readonly device?: Breaking<Device>;
  readonly region?: (sound: Region, options: OpenOptions) => Partial<Region>;
}

/** The target with every device broken the same way. */
export function broken(target: ContractTarget, breakage: Breakage): ContractTarget {
  return {
    ...target,
    open: async (options = {}) => {
      const sound = await target.open(options);
      const { region } = breakage;
      const regions: Partial<Device> =
        region === undefined
          ? {}
          : {
              allocate: async (byteLength, cuts) => {
                const whole = await sound.allocate(byteLength, cuts);
                return overlay(whole, region(whole, options));
              },
            };
      return overlay(sound, { ...regions, ...breakage.device?.(sound) });
    },
  };
}

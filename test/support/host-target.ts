import { hostBackend } from '../../src/device/host/index.js';
import type { HostInjection, HostOptions } from '../../src/device/host/options.js';
import { nativeSinks } from '../../src/node/devices/sinks.js';
import type { ContractTarget } from '../contract/cases.js';
import { nativeFile } from './native-file.js';
import { nodeOracle } from './oracle.js';

const MIB = 1024 * 1024;

/** The host backend as a contract target; `inject` and `options` change the device that cases open. */
export function hostTarget(
  name: string,
  given: Omit<HostOptions, 'inject'> = {},
  inject: HostInjection = {},
): ContractTarget {
  const sinks = nativeSinks();
  const options = { ...(sinks && { sinks }), ...given };
  const freed = { allocations: 0, unwiped: 0 };
  const seeing: HostInjection = {
    ...inject,
    freed: (segment) => {
      freed.allocations++;
      if (segment.some((byte) => byte !== 0)) freed.unwiped++;
      inject.freed?.(segment);
    },
  };
  return {
    name,
    open: (openOptions) => hostBackend({ ...options, inject: seeing }).open(0, openOptions),
    oracle: nodeOracle,
    maxBytes: 80 * MIB,
    nativeFile,
    freed: () => ({ ...freed }),
    openOutOfMemory: async () => {
      let armed = false;
      const device = await hostBackend({
        ...options,
        inject: {
          ...seeing,
          beforeAllocate: () => {
            if (!armed) return;
            armed = false;
            throw new RangeError('Array buffer allocation failed');
          },
        },
      }).open(0);
      armed = true;
      return { device, byteLength: 100_000 };
    },
    openLosable: async () => {
      let report: (reason: string) => void = () => undefined;
      const lost = new Promise<string>((resolve) => {
        report = resolve;
      });
      const device = await hostBackend({ ...options, inject: { ...seeing, lost } }).open(0);
      return {
        device,
        lose: async () => {
          report('lost by the test');
          await device.lost;
        },
      };
    },
  };
}

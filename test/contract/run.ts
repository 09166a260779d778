import type { Device, OpenOptions } from '../../src/device/types.js';
import { ContractFailure } from './assert.js';
import type { ContractCase, ContractContext, ContractTarget } from './context.js';

export type ContractOutcome =
  | { readonly status: 'passed' }
  | { readonly status: 'skipped'; readonly reason: string }
  | { readonly status: 'failed'; readonly error: unknown };

class Skipped extends Error {
  override readonly name = 'Skipped';
}

/** Runs contract cases over one target, one at a time. */
export class ContractRun {
  readonly #target: ContractTarget;
  readonly #shared = new Map<string, Device>();

  constructor(target: ContractTarget) {
    this.#target = target;
  }

  /** A case that leaves a region on a shared device, or changes its accounting, has failed too. */
  async run(test: ContractCase): Promise<ContractOutcome> {
    const own: Device[] = [];
    try {
      await test.run(this.#context(own));
      for (const [options, device] of this.#shared) {
        const { liveRegions, liveBytes } = device.stats();
        if (liveRegions !== 0 || liveBytes !== 0) {
          throw new ContractFailure(`${liveRegions} regions were left on the shared device ${options}`);
        }
      }
      return { status: 'passed' };
    } catch (error) {
      // What a failed case left behind must not fail the next one.
      if (!(error instanceof Skipped)) await this.close();
      return error instanceof Skipped
        ? { status: 'skipped', reason: error.message }
        : { status: 'failed', error };
    } finally {
      await closeAll(own);
    }
  }

  /** Closes the shared devices. */
  async close(): Promise<void> {
    const devices = [...this.#shared.values()];
    this.#shared.clear();
    await closeAll(devices);
  }

  #context(own: Device[]): ContractContext {
    const target = this.#target;
    return {
      target,
      oracle: target.oracle,
      maxBytes: target.maxBytes,
      shared: async (options: OpenOptions = {}) => {
        const key = JSON.stringify([options.windowBytes ?? null, options.drills ?? false]);
        const device = this.#shared.get(key) ?? (await target.open(options));
        this.#shared.set(key, device);
        return device;
      },
      open: async (options: OpenOptions = {}) => {
        const device = await target.open(options);
        own.push(device);
        return device;
      },
      skip: (reason: string): never => {
        throw new Skipped(reason);
      },
    };
  }
}

async function closeAll(devices: readonly Device[]): Promise<void> {
  for (const device of devices) await device.close();
}

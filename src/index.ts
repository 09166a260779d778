import { VramManager as Manager, type ManagerOptions } from './manager/index.js';
import { nodePlatform } from './node/platform.js';

export * from './core-exports.js';
export { type FileSource, fileSource } from './node/file-source.js';

/** Keeps weights sealed in device memory; see its methods. */
export type VramManager = Manager;

export const VramManager = {
  /**
   * Opens a device and proves known answers on it, checks it against the policy, and derives the worker's keys from the token, which is zeroed.
   * Errors: INVALID_INPUT, POLICY_VIOLATION, DEVICE_UNAVAILABLE, INSUFFICIENT_VRAM, AUDIT_FAILED.
   */
  open(options: ManagerOptions): Promise<VramManager> {
    return Manager.open(options, nodePlatform());
  },
};

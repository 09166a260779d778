import { randomFillSync } from 'node:crypto';
import { type ManagerOptions, type Platform, VramManager } from '../../manager/index.js';
import type { Pair } from './measure.js';

export interface BenchSetting {
  readonly platform: Platform;
  /** Sealed and verified on this device. */
  readonly device: string;
  /** Bytes to hash on the device. */
  readonly deviceBytes: number;
  /** Bytes of the file to seal and to digest. */
  readonly fileBytes: number;
  readonly rounds: number;
  /** The program's file. */
  readonly main: string;
  readonly signal: AbortSignal;
  readonly onPair: (pair: Pair) => void;
}

/** Opened on the device that is measured. */
export function openManager(
  setting: BenchSetting,
  options: Partial<ManagerOptions> = {},
): Promise<VramManager> {
  return VramManager.open(
    { device: setting.device, policy: 'any', workerId: 'bench', ...options },
    setting.platform,
  );
}

export function randomBytes(length: number): Uint8Array {
  return randomFillSync(new Uint8Array(length));
}

import { invalidInput } from '../base/index.js';
import type { AllocateOptions } from './types.js';

/** For devices whose memory stays in this process. Errors: INVALID_INPUT. */
export function refuseShare({ share }: AllocateOptions, why: string): void {
  if (share === true) throw invalidInput('share', `needs a CUDA device: ${why}`);
}

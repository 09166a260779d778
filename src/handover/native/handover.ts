import { invalidInput } from '../../base/index.js';
import type { DescriptorHandle } from '../../device/index.js';
import type { Handover } from '../port.js';
import type { SocketAddon } from './addon.js';

/** The two descriptors for one client. The addon empties them when they are sent. */
export class NativeHandover implements Handover {
  readonly descriptors: readonly DescriptorHandle[];
  readonly #addon: SocketAddon;

  constructor(addon: SocketAddon, memory: DescriptorHandle, manifest: DescriptorHandle) {
    this.#addon = addon;
    this.descriptors = [memory, manifest];
  }

  discard(): void {
    for (const descriptor of this.descriptors) this.#addon.closeDescriptor(descriptor);
  }
}

/** Narrows the argument of send(). Errors: INVALID_INPUT for a handover of another transport. */
export function descriptorsOf(handover: Handover | undefined): readonly DescriptorHandle[] {
  if (handover === undefined) return [];
  if (handover instanceof NativeHandover) return handover.descriptors;
  throw invalidInput('handover', 'must be what prepare() of this transport resolved to');
}

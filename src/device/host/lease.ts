import { checkInteger, VramError } from '../../base/index.js';
import type { HostBinding } from '../types.js';

/** A read-only binding over part of a region. It returns copies, so that no caller holds the sealed memory itself. */
export class HostLease implements HostBinding {
  readonly kind = 'host';
  readonly byteLength: number;
  readonly #read: (offset: number, length: number) => Promise<Uint8Array>;
  #ended = false;

  constructor(byteLength: number, read: (offset: number, length: number) => Promise<Uint8Array>) {
    this.byteLength = byteLength;
    this.#read = read;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (this.#ended) throw new VramError('NOT_FOUND', 'this binding has ended with its lease');
    checkInteger('offset', offset, 0, this.byteLength);
    checkInteger('length', length, 0, this.byteLength - offset);
    return await this.#read(offset, length);
  }

  async end(): Promise<void> {
    this.#ended = true;
  }
}

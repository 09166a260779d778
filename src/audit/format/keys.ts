import { checkToken, invalidInput, utf8 } from '../../base/index.js';
import type { CryptoProvider, Mac } from '../../crypto/index.js';

export const MAC_BYTES = 32;
const KEY_BYTES = 32;
const SALT = utf8('vram-residency');
const RATCHET_INFO = utf8('audit/ratchet/v1');
const MAC_INFO = utf8('audit/mac/v1');
const NO_SALT = new Uint8Array(0);

/**
 * More segments than a log can have in practice (2,700 years of days). Deriving a key walks all epochs before it, and the
 * epoch stands in files that an attacker may have written.
 */
export const MAX_EPOCH = 1_000_000;

/**
 * The chain key of one epoch, which only moves forward: CK(n+1) = HKDF(CKn), and CKn is zeroed. An attacker who reads the
 * process's memory cannot forge records of past epochs; one who has the token can.
 */
export class KeyRatchet {
  readonly #crypto: CryptoProvider;
  #chainKey: Uint8Array;
  #epoch: number;

  private constructor(crypto: CryptoProvider, chainKey: Uint8Array) {
    this.#crypto = crypto;
    this.#chainKey = chainKey;
    this.#epoch = 0;
  }

  /** Starts at epoch 0. The caller owns, and zeroes, the token. */
  static async fromToken(
    crypto: CryptoProvider,
    token: Uint8Array,
    workerId: string,
    logId: string,
  ): Promise<KeyRatchet> {
    const info = utf8(`audit/v1/${workerId}/${logId}`);
    return new KeyRatchet(crypto, await crypto.hkdf(checkToken('token', token), SALT, info, KEY_BYTES));
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Advances to a later epoch, or stays. */
  async advanceTo(epoch: number): Promise<void> {
    if (epoch < this.#epoch || epoch > MAX_EPOCH) {
      throw invalidInput('epoch', `must be from ${this.#epoch} to ${MAX_EPOCH}`);
    }
    while (this.#epoch < epoch) {
      const passed = this.#chainKey;
      this.#chainKey = await this.#crypto.hkdf(passed, NO_SALT, RATCHET_INFO, KEY_BYTES);
      passed.fill(0);
      this.#epoch += 1;
    }
  }

  /** The key MKn of this epoch, 32 bytes; the caller zeroes it. */
  macKey(): Promise<Uint8Array> {
    return this.#crypto.hkdf(this.#chainKey, NO_SALT, MAC_INFO, KEY_BYTES);
  }

  /** HMAC-SHA256 under the key of this epoch. */
  async mac(): Promise<Mac> {
    const key = await this.macKey();
    try {
      return await this.#crypto.hmac(key);
    } finally {
      key.fill(0);
    }
  }

  /** Zeroes the chain key; the ratchet cannot be used afterwards. */
  destroy(): void {
    this.#chainKey.fill(0);
  }
}

/**
 * Message authentication with a key that cannot be read back (RFC 2104 HMAC, SHA-256).
 * `verify` compares in constant time.
 */
export interface Mac {
  /** The 32 bytes of the MAC. */
  sign(bytes: Uint8Array): Promise<Uint8Array>;
  /** In constant time. */
  verify(bytes: Uint8Array, mac: Uint8Array): Promise<boolean>;
}

/** An Ed25519 private key that cannot be read back (RFC 8032). */
export interface Signer {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** An Ed25519 signature, 64 bytes. */
  sign(bytes: Uint8Array): Promise<Uint8Array>;
}

/** The platform's primitives: node:crypto on Node, WebCrypto in pages. */
export interface CryptoProvider {
  /** From the cryptographic generator of the platform. */
  randomBytes(length: number): Uint8Array;
  /** 32 bytes. */
  sha256(bytes: Uint8Array): Promise<Uint8Array>;
  /** HKDF-SHA256 (RFC 5869). */
  hkdf(ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Promise<Uint8Array>;
  /** HMAC-SHA256 under a copy of `key`; the caller still owns, and zeroes, its own. */
  hmac(key: Uint8Array): Promise<Mac>;
  /** Ed25519 verification; false for anything that is not a valid signature. */
  verifyEd25519(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): Promise<boolean>;
}

/** What a digest worker is asked. Buffers are transferred, and come back with the answer to be used again. */
export type DigestTask =
  /** Hashes the blocks of `bytes`, then packs those hashes into the nodes of the level above. */
  | { readonly kind: 'tree'; readonly bytes: Uint8Array<ArrayBuffer> }
  /** Continues the flat SHA-256 of a stream. */
  | {
      readonly kind: 'flat';
      readonly stream: number;
      readonly bytes: Uint8Array<ArrayBuffer>;
      readonly last: boolean;
    };

export type DigestRequestMessage = ({ readonly id: number } & DigestTask) | DropMessage;

/** The stream is aborted. */
export interface DropMessage {
  readonly kind: 'drop';
  readonly stream: number;
}

export interface DigestAnswer {
  readonly id: number;
  /** 32 bytes a block; empty for a flat task. */
  readonly leaves: Uint8Array;
  /** 32 bytes for every started 128 leaves; empty for a flat task. */
  readonly nodes: Uint8Array;
  /** 32 bytes with the last flat task of a stream, else empty. */
  readonly flat: Uint8Array;
  readonly buffer: ArrayBuffer;
}

export interface DigestFailure {
  readonly id: number;
  readonly failure: string;
}

/** An answer, as far as its form can be seen; null for a message that is none. */
export function readAnswer(message: unknown): DigestAnswer | DigestFailure | null {
  if (typeof message !== 'object' || message === null || !('id' in message)) return null;
  const { id } = message;
  if (typeof id !== 'number') return null;
  if ('failure' in message) return { id, failure: String(message.failure).slice(0, 300) };
  const { leaves, nodes, flat, buffer } = message as Partial<Record<keyof DigestAnswer, unknown>>;
  if (!isBytes(leaves) || !isBytes(nodes) || !isBytes(flat) || !(buffer instanceof ArrayBuffer)) return null;
  return { id, leaves, nodes, flat, buffer };
}

function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array;
}

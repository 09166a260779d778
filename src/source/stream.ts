import { checkInteger, checkLabel, invalidInput, throwIfAborted, VramError } from '../base/index.js';
import type { Source } from './types.js';

export type ByteStream = AsyncIterable<Uint8Array> | Iterable<Uint8Array> | ReadableStream<Uint8Array>;

/**
 * Weights that arrive once, in chunks of any size, `byteLength` bytes in all. It can be read once and cannot heal.
 * Errors: INVALID_INPUT; while reading, SOURCE_MISMATCH if more or fewer bytes come than were announced.
 */
export function streamSource(chunks: ByteStream, byteLength: number, label = 'stream'): Source {
  if (typeof chunks !== 'object' || chunks === null || chunks instanceof Uint8Array) {
    throw invalidInput(
      'chunks',
      'must be an iterable or a ReadableStream of Uint8Array; for bytes use bytesSource',
    );
  }
  checkInteger('byteLength', byteLength, 0);
  let iterator: ByteIterator | undefined;
  return {
    byteLength,
    label: checkLabel('label', label),
    async *stream({ signal, chunkBytes }) {
      checkInteger('chunkBytes', chunkBytes, 1);
      throwIfAborted(signal);
      if (iterator !== undefined) throw invalidInput('source', 'is a stream that was read already');
      iterator = iterate(chunks);
      let seen = 0;
      try {
        for (;;) {
          const chunk = await abortable(iterator.next(), signal);
          if (chunk === undefined) break;
          if (!(chunk instanceof Uint8Array)) throw invalidInput('chunks', 'must give Uint8Array chunks');
          seen += chunk.byteLength;
          if (seen > byteLength) {
            throw new VramError(
              'SOURCE_MISMATCH',
              `the stream gave more than the ${byteLength} bytes announced`,
            );
          }
          for (let offset = 0; offset < chunk.byteLength; offset += chunkBytes) {
            throwIfAborted(signal);
            yield chunk.subarray(offset, offset + chunkBytes);
          }
        }
        if (seen < byteLength) {
          throw new VramError('SOURCE_MISMATCH', `the stream ended after ${seen} of ${byteLength} bytes`);
        }
      } finally {
        iterator.end();
      }
    },
    async unchanged() {
      // What was read is gone: its length was checked on the way.
    },
    async close() {
      iterator?.end();
    },
  };
}

interface ByteIterator {
  /** undefined at the end. */
  next(): Promise<unknown>;
  /** Tells the producer that no more is wanted; does not wait for one that may be stuck. */
  end(): void;
}

function iterate(chunks: ByteStream): ByteIterator {
  // Some browsers' streams are not iterable: the reader works everywhere.
  if (typeof ReadableStream === 'function' && chunks instanceof ReadableStream) {
    const reader = chunks.getReader();
    return {
      next: async () => (await reader.read()).value,
      end: () => settle(() => reader.cancel()),
    };
  }
  if (Symbol.asyncIterator in chunks) {
    const inner = chunks[Symbol.asyncIterator]();
    return {
      next: async () => {
        const result = await inner.next();
        return result.done === true ? undefined : result.value;
      },
      end: () => settle(() => inner.return?.()),
    };
  }
  if (!(Symbol.iterator in chunks)) throw invalidInput('chunks', 'must be an iterable or a ReadableStream');
  const inner = chunks[Symbol.iterator]();
  return {
    next: async () => {
      const result = inner.next();
      return result.done === true ? undefined : result.value;
    },
    end: () => settle(() => inner.return?.()),
  };
}

/** The producer's own failure to stop changes nothing for the reader, whose answer is known already. */
function settle(end: () => unknown): void {
  new Promise((resolve) => resolve(end())).catch(() => undefined);
}

/** Rejects as soon as the signal fires, also while the producer is stuck. */
async function abortable<T>(pending: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return pending;
  let onAbort: () => void = () => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => {
      try {
        throwIfAborted(signal);
      } catch (error) {
        reject(error);
      }
    };
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    if (signal.aborted) onAbort();
    // Both are handed over, also when the outcome is known: a producer that fails after an abort must not end the process.
    return await Promise.race([aborted, pending]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

import {
  checkInteger,
  checkLabel,
  ForeignCalls,
  invalidInput,
  systemClock,
  throwIfAborted,
  VramError,
} from '../base/index.js';
import { type ChunkLimits, ChunkReader } from './chunk-reader.js';
import type { Source } from './types.js';

/** Chunks of bytes that arrive once. */
export type ByteStream = AsyncIterable<Uint8Array> | Iterable<Uint8Array> | ReadableStream<Uint8Array>;

/**
 * Weights that arrive once, in chunks of any size, `byteLength` bytes in all. It can be read once and cannot heal.
 * Errors: INVALID_INPUT; while reading, SOURCE_MISMATCH if more or fewer bytes come than were announced.
 */
export function streamSource(chunks: ByteStream, byteLength: number, label = 'stream'): Source {
  return limitedStream(chunks, byteLength, label, {
    calls: new ForeignCalls(),
    // The reader of the source sets the time limit.
    stallMs: null,
    stalled: () => new VramError('SOURCE_MISMATCH', 'the stream gave nothing'),
  });
}

interface StreamLimits extends Pick<ChunkLimits, 'calls' | 'stallMs' | 'stalled'> {
  /** The error for a stream that ends early. */
  readonly ended?: ((seen: number) => VramError) | undefined;
}

/** As streamSource, with its own limit on how long the producer may deliver nothing. */
export function limitedStream(
  chunks: ByteStream,
  byteLength: number,
  label: string,
  limits: StreamLimits,
): Source {
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
      const producer = iterate(chunks);
      iterator = producer;
      const reader = new ChunkReader(() => producer.next(), {
        ...limits,
        clock: systemClock,
        notAChunk: () => invalidInput('chunks', 'must give Uint8Array chunks'),
        ends: [signal],
      });
      let seen = 0;
      try {
        for (let chunk = await reader.next(); chunk !== undefined; chunk = await reader.next()) {
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
          throw limits.ended?.(seen) ?? endedEarly(seen, byteLength);
        }
      } finally {
        producer.end();
      }
    },
    async unchanged() {
      // The stream cannot be read again: its length was checked on the way.
    },
    async close() {
      iterator?.end();
    },
  };
}

function endedEarly(seen: number, byteLength: number): VramError {
  return new VramError('SOURCE_MISMATCH', `the stream ended after ${seen} of ${byteLength} bytes`);
}

interface ByteIterator {
  next(): Promise<IteratorResult<unknown>>;
  /** Tells the producer that no more is needed; does not wait for one that may be stuck. */
  end(): void;
}

function iterate(chunks: ByteStream): ByteIterator {
  // Some browsers' streams are not iterable: the reader works everywhere.
  if (typeof ReadableStream === 'function' && chunks instanceof ReadableStream) {
    const reader = chunks.getReader();
    return { next: () => reader.read(), end: () => settle(() => reader.cancel()) };
  }
  if (Symbol.asyncIterator in chunks) {
    const inner = chunks[Symbol.asyncIterator]();
    return { next: () => inner.next(), end: () => settle(() => inner.return?.()) };
  }
  if (!(Symbol.iterator in chunks)) throw invalidInput('chunks', 'must be an iterable or a ReadableStream');
  const inner = chunks[Symbol.iterator]();
  return { next: async () => inner.next(), end: () => settle(() => inner.return?.()) };
}

/** A producer that fails to stop changes nothing for the reader, whose result is already known. */
function settle(end: () => unknown): void {
  new Promise((resolve) => resolve(end())).catch(() => undefined);
}

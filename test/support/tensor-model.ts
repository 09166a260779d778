import type { TensorEntry, TensorModel } from '../../src/models/index.js';
import { bytesSource } from '../../src/source/index.js';

export interface MadeTensor {
  readonly name: string;
  readonly dtype?: string;
  readonly shape?: readonly number[];
  readonly at: number;
  readonly length: number;
  readonly encoding?: TensorEntry['encoding'];
}

export interface MadeFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly tensors: readonly MadeTensor[];
}

/** Byte `index` is index * multiplier + addend, modulo 256. */
export function rising(byteLength: number, multiplier: number, addend: number): Uint8Array {
  return Uint8Array.from({ length: byteLength }, (_, index) => (index * multiplier + addend) % 256);
}

/** A model in memory: what openModel() gives of files, over bytes that the test holds. */
export function tensorModel(files: readonly MadeFile[]): TensorModel {
  return {
    shards: files.map(({ name, bytes, tensors }) => ({
      label: name,
      byteLength: bytes.length,
      tensors: tensors.map((tensor) => ({
        name: tensor.name,
        dtype: tensor.dtype ?? 'U8',
        shape: tensor.shape ?? [tensor.length],
        byteOffset: tensor.at,
        byteLength: tensor.length,
        encoding: tensor.encoding ?? 'raw',
      })),
      open: async () => bytesSource(bytes, name),
    })),
  };
}

/** The packed sequence, made without the code under test: each tensor, and zeros to the end of its last block. */
export function packedByHand(files: readonly MadeFile[]): Buffer {
  const parts = files.flatMap(({ bytes, tensors }) =>
    [...tensors]
      .sort((a, b) => a.at - b.at)
      .map(({ at, length }) => {
        const run = Buffer.alloc(Math.ceil(length / 4096) * 4096);
        run.set(bytes.subarray(at, at + length));
        return run;
      }),
  );
  return Buffer.concat(parts);
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks) parts.push(Buffer.from(chunk));
  return Buffer.concat(parts);
}

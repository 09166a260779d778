import { closeSync, openSync, writeSync } from 'node:fs';

const HEADER_ALIGNMENT = 8;

/**
 * Writes a safetensors file of one linear layer in F32, of small random numbers: `weight` [hidden, hidden], `bias`
 * [hidden].
 */
export function writeLinear(path: string, hidden: number): void {
  const weightBytes = hidden * hidden * Float32Array.BYTES_PER_ELEMENT;
  const end = weightBytes + hidden * Float32Array.BYTES_PER_ELEMENT;
  const tensors = {
    weight: { dtype: 'F32', shape: [hidden, hidden], data_offsets: [0, weightBytes] },
    bias: { dtype: 'F32', shape: [hidden], data_offsets: [weightBytes, end] },
  };
  const text = JSON.stringify(tensors);
  const header = Buffer.from(text.padEnd(Math.ceil(text.length / HEADER_ALIGNMENT) * HEADER_ALIGNMENT));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const file = openSync(path, 'wx', 0o600);
  try {
    for (const bytes of [length, header]) writeSync(file, bytes);
    for (let row = 0; row <= hidden; row++) {
      writeSync(
        file,
        Float32Array.from({ length: hidden }, () => (Math.random() - 0.5) / hidden ** 0.5),
      );
    }
  } finally {
    closeSync(file);
  }
}

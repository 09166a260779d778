// What the page of examples/browser makes of model files that are cut short, damaged or called something else.
import { describe, expect, it } from 'vitest';
import { BrokenModel } from '../../../examples/browser/runtime/broken-model.js';
import { tensorsOf } from '../../../examples/browser/runtime/tensors.js';
import { ggufFile, onnxFile, onnxTensor, safetensorsFile } from '../../fuzz/build.mjs';

const SAFETENSORS = safetensorsFile({ a: { dtype: 'U8', shape: [64], data_offsets: [0, 64] } }, 64);
const FILES = [
  { format: 'safetensors', name: 'model.safetensors', bytes: SAFETENSORS },
  { format: 'GGUF', name: 'model.gguf', bytes: ggufFile() },
  { format: 'ONNX', name: 'model.onnx', bytes: onnxFile({ initializers: [onnxTensor({ raw: 8 })] }) },
] as const;

const blobOf = (bytes: Uint8Array): Blob => new Blob([new Uint8Array(bytes)]);

/** Names of the tensors, null for no model, or why it is a broken one. */
async function outcome(bytes: Uint8Array, name: string): Promise<readonly string[] | string | null> {
  try {
    return (await tensorsOf(blobOf(bytes), name))?.map((tensor) => tensor.name) ?? null;
  } catch (error) {
    if (error instanceof BrokenModel) return error.message;
    throw error;
  }
}

describe('a model file that is dropped on the page', () => {
  it.each(FILES)(
    'is refused with its reason wherever $format is cut short',
    async ({ format, name, bytes }) => {
      expect(await outcome(bytes, name)).toHaveLength(1);
      const whole: number[] = [];
      for (let length = 0; length < bytes.length; length++) {
        const said = await outcome(bytes.subarray(0, length), name);
        if (Array.isArray(said)) whole.push(length);
        else
          expect(said, `${length} bytes`).toContain(`cannot be read as ${format}, so nothing was sealed: `);
      }
      expect(whole).toEqual([]);
    },
  );

  it.each([
    { ...FILES[0], at: 8, why: 'has a header that does not start with {' },
    { ...FILES[0], at: 7, why: 'has a header length beyond 2^53 - 1' },
    { ...FILES[0], at: 3, why: 'has a header of more than 100000000 bytes' },
    { ...FILES[1], at: 0, why: 'does not start with GGUF' },
    { ...FILES[1], at: 4, why: 'is GGUF of version 252; versions 2 and 3 are known' },
    { ...FILES[2], at: 0, why: 'has a protobuf field' },
  ])('is refused where byte $at of $format is another: $why', async ({ format, name, bytes, at, why }) => {
    const damaged = bytes.with(at, (bytes[at] ?? 0) ^ 0xff);
    const said = await outcome(damaged, name);
    expect(said).toContain(`cannot be read as ${format}, so nothing was sealed: "${name}"`);
    expect(said).toContain(why);
  });

  it.each([
    { what: 'safetensors', bytes: SAFETENSORS, name: 'weights.bin' },
    { what: 'GGUF', bytes: ggufFile(), name: 'weights.bin' },
    { what: 'GGUF', bytes: ggufFile(), name: 'weights.safetensors' },
  ])('is known as $what by its first bytes, though it is called $name', async ({ what, bytes, name }) => {
    expect(await outcome(bytes, name)).toHaveLength(1);
    expect(await outcome(bytes.subarray(0, -1), name)).toContain(`cannot be read as ${what}`);
  });

  it.each(['weights.bin', 'model.safetensors.txt'])('is none where nothing says so: %s', async (name) => {
    expect(await outcome(new Uint8Array(9_000).fill(7), name)).toBeNull();
    expect(await outcome(new Uint8Array(0), name)).toBeNull();
  });

  it('that can no longer be read is not called broken', async () => {
    const gone = Object.assign(blobOf(SAFETENSORS), {
      slice: () => ({ arrayBuffer: () => Promise.reject(new DOMException('gone', 'NotReadableError')) }),
    });
    await expect(tensorsOf(gone, 'a.safetensors')).rejects.toMatchObject({ name: 'NotReadableError' });
  });
});

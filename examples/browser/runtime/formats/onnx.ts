import { type RandomAccess, readOnnx, type TensorIndex } from 'vram-residency/browser';

export async function read(access: RandomAccess, what: string): Promise<TensorIndex> {
  return (await readOnnx(access, what)).tensors;
}

import type { Lease } from '../../src/manager/index.js';

export function matvec(
  lease: Lease,
  product: { readonly rows: number; readonly columns: number; readonly vector: Float32Array<ArrayBuffer> },
): Promise<Float32Array>;

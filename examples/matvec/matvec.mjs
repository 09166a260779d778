import { matvecOnCuda } from './cuda.mjs';
import { matvecOnHost } from './host.mjs';
import { matvecOnWebGpu } from './webgpu.mjs';

/**
 * The product of a leased row-major float32 matrix and a vector, computed where the weights are. `lease` covers exactly the
 * matrix: execute() with
 * `tensor` lends that.
 */
export async function matvec(lease, { rows, columns, vector }) {
  if (lease.byteLength !== rows * columns * 4) throw new RangeError('the lease is not of this matrix');
  switch (lease.kind) {
    case 'cuda':
      return await matvecOnCuda(lease, { rows, columns, vector });
    case 'webgpu':
      return await matvecOnWebGpu(lease, { rows, columns, vector });
    case 'host':
      return await matvecOnHost(lease, { rows, columns, vector });
  }
}

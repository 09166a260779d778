export interface CpuProduct {
  readonly y: Float64Array;
  /** What a float32 product may be off by. */
  readonly bound: Float64Array;
}

export function floats(bytes: Uint8Array): Float32Array<ArrayBuffer>;
export function matvecOnCpu(matrix: Float32Array, vector: Float32Array): CpuProduct;
export function wrongRows(product: Float32Array, expected: CpuProduct): number[];

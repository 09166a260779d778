// The oracle: a matrix-vector product on the CPU, in float64, with the error that a float32 product may have at most.

/** Float32 values of bytes that may begin anywhere. */
export function floats(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.byteLength / 4 }, (_, index) => view.getFloat32(index * 4, true));
}

/**
 * `y = M x` for a row-major matrix. `bound` is what any order of float32 additions, fused or not, may be off by (Higham,
 * "Accuracy and Stability of Numerical Algorithms", section 3.1): gamma(n) times the sum of the terms' magnitudes.
 */
export function matvecOnCpu(matrix, vector) {
  const columns = vector.length;
  const rows = matrix.length / columns;
  const y = new Float64Array(rows);
  const bound = new Float64Array(rows);
  const gamma = (columns * 2 ** -24) / (1 - columns * 2 ** -24);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const term = matrix[row * columns + column] * vector[column];
      y[row] += term;
      bound[row] += Math.abs(term) * gamma;
    }
  }
  return { y, bound };
}

/** Rows where a float32 product is not what the CPU says. */
export function wrongRows(product, { y, bound }) {
  return [...product.keys()].filter((row) => !(Math.abs(product[row] - y[row]) <= bound[row]));
}

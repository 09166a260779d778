import { floats } from './cpu.mjs';

/** On the host backend a lease gives copies: one row at a time is enough. */
export async function matvecOnHost(lease, { rows, columns, vector }) {
  const product = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const weights = floats(await lease.read(row * columns * 4, columns * 4));
    let sum = 0;
    for (let column = 0; column < columns; column++) {
      sum = Math.fround(sum + Math.fround(weights[column] * vector[column]));
    }
    product[row] = sum;
  }
  return product;
}

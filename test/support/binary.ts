/** A copy with one text in place of the first that equals another, in bytes of the same length. */
export function replaceText(bytes: Uint8Array, from: string, to: string): Uint8Array {
  if (from.length !== to.length) throw new Error(`"${from}" and "${to}" differ in length`);
  const copy = Buffer.from(bytes);
  const at = copy.indexOf(`\0${from}\0`, 0, 'latin1');
  if (at < 0) throw new Error(`"${from}" is not there`);
  copy.write(to, at + 1, 'latin1');
  return copy;
}

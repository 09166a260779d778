/** What holds for the tensors of any file that a reader accepts. */
export function checkTensors(tensors, byteLength, { mayShare = false } = {}) {
  const names = new Set();
  let end = 0;
  for (const tensor of tensors) {
    const { name, shape, byteOffset, byteLength: length } = tensor;
    if (names.has(name)) throw new Error(`two tensors called ${name}`);
    names.add(name);
    for (const number of [...shape, byteOffset, length]) {
      if (!Number.isSafeInteger(number) || number < 0) throw new Error(`${number} in ${name}`);
    }
    if (byteOffset + length > byteLength) throw new Error(`${name} ends after the file`);
    if (byteOffset < end && !mayShare) throw new Error(`${name} begins before byte ${end}`);
    end = Math.max(end, byteOffset + length);
  }
  return end;
}

/** Runs a reader; gives its answer, or the message with which it refused. Anything else that is thrown is a failure. */
export async function attempt(read, isVramError) {
  try {
    return { value: await read() };
  } catch (error) {
    if (!isVramError(error, 'INVALID_INPUT')) throw error;
    return { refusal: error.message };
  }
}

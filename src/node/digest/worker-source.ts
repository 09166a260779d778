/**
 * The source text of a hashing thread: as text it loads the same way from compiled files, sources under test and bundles.
 * One message is one slab of shared memory, or a range of an open file. `flat` continues the flat SHA-256 of a stream, as
 * `flat-file` does with the bytes that it reads; `leaves` writes the slab's leaf hashes after its data.
 */
export const WORKER_SOURCE = `
'use strict';
const { createHash, hash } = require('node:crypto');
const { readSync } = require('node:fs');
const { parentPort } = require('node:worker_threads');
const flats = new Map();
let readBuffer;

function flat({ stream, data, last }) {
  stateOf(stream).update(data);
  return last ? finish(stream) : null;
}

function flatFile({ stream, descriptor, offset, length, last }) {
  readBuffer ??= new Uint8Array(256 * 1024);
  for (let done = 0; done < length; ) {
    const count = readSync(descriptor, readBuffer, 0, Math.min(readBuffer.length, length - done), offset + done);
    if (count === 0) throw new Error('the file ended');
    stateOf(stream).update(readBuffer.subarray(0, count));
    done += count;
  }
  return last ? finish(stream) : null;
}

function stateOf(stream) {
  let state = flats.get(stream);
  if (state === undefined) flats.set(stream, (state = createHash('sha256')));
  return state;
}

function finish(stream) {
  const digest = new Uint8Array(stateOf(stream).digest());
  flats.delete(stream);
  return digest;
}

function leaves({ data, out, blockBytes, hashBytes }) {
  for (let from = 0, to = 0; from < data.length; from += blockBytes, to += hashBytes) {
    out.set(hash('sha256', data.subarray(from, from + blockBytes), 'buffer'), to);
  }
  return null;
}

const WORK = { flat, 'flat-file': flatFile, leaves };

parentPort.on('message', (task) => {
  if (task.kind === 'drop') {
    flats.delete(task.stream);
    return;
  }
  try {
    const result = WORK[task.kind](task);
    parentPort.postMessage({ id: task.id, result });
  } catch (error) {
    parentPort.postMessage({ id: task.id, error: String(error) });
  }
});
`;

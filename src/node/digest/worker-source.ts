/**
 * What a hashing thread runs, as text: it loads the same from compiled files, from sources under test, and from a bundle.
 * One message is one slab of shared memory. `flat` continues the flat SHA-256 of a stream; `leaves` writes the slab's leaf
 * hashes behind its data.
 */
export const WORKER_SOURCE = `
'use strict';
const { createHash, hash } = require('node:crypto');
const { parentPort } = require('node:worker_threads');
const flats = new Map();

function flat({ stream, data, last }) {
  let state = flats.get(stream);
  if (state === undefined) flats.set(stream, (state = createHash('sha256')));
  state.update(data);
  if (!last) return null;
  flats.delete(stream);
  return new Uint8Array(state.digest());
}

function leaves({ data, out, blockBytes, hashBytes }) {
  for (let from = 0, to = 0; from < data.length; from += blockBytes, to += hashBytes) {
    out.set(hash('sha256', data.subarray(from, from + blockBytes), 'buffer'), to);
  }
  return null;
}

parentPort.on('message', (task) => {
  if (task.kind === 'drop') {
    flats.delete(task.stream);
    return;
  }
  try {
    const result = task.kind === 'flat' ? flat(task) : leaves(task);
    parentPort.postMessage({ id: task.id, result });
  } catch (error) {
    parentPort.postMessage({ id: task.id, error: String(error) });
  }
});
`;

import { checkBytes, checkInteger, checkOneOf, invalidInput } from '../base/index.js';
import { type DigestRequest, HASH_BYTES, type KeepLevel } from './types.js';

/** Errors: INVALID_INPUT. */
export function checkRequest(request: DigestRequest): DigestRequest {
  checkInteger('byteLength', request.byteLength, 0);
  checkOneOf<KeepLevel>('keep', request.keep, ['root', 'groups', 'leaves']);
  if (typeof request.sha256 !== 'boolean') throw invalidInput('sha256', 'must be true or false');
  return request;
}

/** Checks packed hashes of one level. Errors: INVALID_INPUT. */
export function checkHashes(hashes: Uint8Array): Uint8Array {
  checkBytes('hashes', hashes);
  if (hashes.length % HASH_BYTES !== 0) {
    throw invalidInput('hashes', `must be a multiple of ${HASH_BYTES} bytes, got ${hashes.length}`);
  }
  return hashes;
}

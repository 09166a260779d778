import { checkBytes, checkInteger, invalidInput, VramError } from '../base/index.js';
import { BLOCK_BYTES, HASHES_PER_BLOCK, type TreeLayout } from '../digest/index.js';

/** Argument checks shared by the regions of all backends. */

/** A part of a tree: the nodes of `level` over blocks [firstBlock, firstBlock + blocks). */
export interface TreePart {
  readonly level: number;
  /** Multiple of 128 to the power of `level`. */
  readonly firstBlock: number;
  readonly blocks: number;
}

export function releasedError(): VramError {
  return new VramError('NOT_FOUND', 'this region has been released');
}

/** The error for a region in the wrong state for an action. */
export function stateError(needed: 'filling' | 'frozen'): VramError {
  return new VramError(
    'INVALID_INPUT',
    needed === 'filling'
      ? 'this region is frozen and cannot be written'
      : 'this region must be frozen before it can be verified or bound',
  );
}

/** The part of the tree under `count` nodes of a level, from `first` on. Errors: INVALID_INPUT. */
export function checkNodes(layout: TreeLayout, level: number, first: number, count: number): TreePart {
  checkInteger('level', level, 0, layout.levels.length - 1);
  const present = layout.levels[level]?.nodes ?? 0;
  checkInteger('first', first, 0, present - 1);
  checkInteger('count', count, 1, present - first);
  const blocksUnder = HASHES_PER_BLOCK ** level;
  const firstBlock = first * blocksUnder;
  return { level, firstBlock, blocks: Math.min(count * blocksUnder, layout.blocks - firstBlock) };
}

/** A whole block to heal, including its padding, which is hashed and therefore healed too. Errors: INVALID_INPUT. */
export function paddedBlock(layout: TreeLayout, block: number, bytes: Uint8Array): Uint8Array {
  checkInteger('block', block, 0, layout.blocks - 1);
  checkBytes('bytes', bytes);
  const expected = Math.min(BLOCK_BYTES, layout.byteLength - block * BLOCK_BYTES);
  if (bytes.length !== expected) {
    throw invalidInput('bytes', `must be the ${expected} bytes of block ${block}, got ${bytes.length}`);
  }
  const whole = new Uint8Array(BLOCK_BYTES);
  whole.set(bytes);
  return whole;
}

/** Bits of one byte that a drill flips. `byteLength`: with the padding of the last block. Errors: INVALID_INPUT. */
export function checkFlip(byteLength: number, byte: number, mask: number): void {
  checkInteger('byte', byte, 0, byteLength - 1);
  checkInteger('mask', mask, 1, 255);
}

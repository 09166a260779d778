// The page under test: the picture of a million blocks while a verification sweeps over it.
import type { TensorPlace } from '../../examples/browser/protocol.js';
import { BlockMap, type MapState } from '../../examples/browser/view/block-map.js';

const WIDTH = 1_150;
const HEIGHT = 352;
const TENSORS = 1_000;

/** Milliseconds of scripting in each of `frames` frames, with so many damaged blocks spread over all. */
async function sweep(blocks: number, frames: number, damagedBlocks: number): Promise<number[]> {
  document.body.replaceChildren();
  const frame = document.createElement('div');
  frame.style.cssText = `width: ${WIDTH}px; --map-sealed: #bcc; --map-verified: #196; --map-hashed: #6eb;
    --map-damaged: #d21; --map-flipped: #000; --map-outline: #000`;
  for (let layer = 0; layer < 3; layer++) frame.append(document.createElement('canvas'));
  document.body.append(frame);
  const map = new BlockMap(frame);
  map.fit(blocks, HEIGHT);
  const each = Math.floor(blocks / TENSORS);
  const tensors = Array.from(
    { length: TENSORS },
    (_, at): TensorPlace => ({
      name: `tensor-${at}`,
      dtype: 'F16',
      shape: [each],
      byteLength: each * 4_096,
      firstBlock: at * each,
      blocks: each,
    }),
  );
  const damaged = Array.from({ length: damagedBlocks }, (_, at) => ({
    firstBlock: at * Math.floor(blocks / damagedBlocks),
    blocks: 1,
  }));
  performance.clearMeasures('block-map');
  for (let at = 1; at <= frames; at++) {
    const state: MapState = {
      blocks,
      tensors,
      tone: 'verified',
      sweeping: true,
      swept: Math.round((blocks * at) / frames),
      flipped: [2_503, 72_503, 702_503],
      damaged,
    };
    map.draw(state);
    map.outline(tensors[at % TENSORS] ?? null);
    await new Promise(requestAnimationFrame);
  }
  return performance.getEntriesByName('block-map').map(({ duration }) => duration);
}

/** Pixels in the colour of damage. */
function redPixels(): number {
  const canvas = document.querySelector('canvas');
  const context = canvas?.getContext('2d');
  if (!canvas || !context) throw new Error('there is no picture');
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let at = 0; at < data.length; at += 4) {
    if (data[at] === 0xdd && data[at + 1] === 0x22 && data[at + 2] === 0x11) count += 1;
  }
  return count;
}

Object.assign(globalThis, { mapPage: { sweep, redPixels } });

import { describe, expect, it } from 'vitest';
import { createPortableEngine } from '../../../src/digest/index.js';
import { takingTurns } from '../../../src/page/index.js';
import { xorshiftBytes } from '../../support/xorshift.js';

const BYTES = xorshiftBytes(17, 24 * 2 ** 20 + 5);

/** How often the thread's other tasks ran during `work`. */
async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  let turns = 0;
  let timer = setImmediate(function count() {
    turns++;
    timer = setImmediate(count);
  });
  await work();
  clearImmediate(timer);
  return turns;
}

describe('an engine that takes turns', () => {
  const plain = createPortableEngine('hash-wasm');
  const engine = takingTurns(plain);

  async function digest(by: typeof engine): Promise<string> {
    const stream = by.start({ byteLength: BYTES.length, sha256: false, keep: 'root' });
    await stream.update(BYTES);
    return (await stream.finish()).fsverity;
  }

  it('gives the digest of the engine below, while other tasks run', async () => {
    const expected = await digest(plain);
    let found = '';
    const turns = await turnsDuring(async () => {
      found = await digest(engine);
    });
    expect(found).toBe(expected);
    expect(turns).toBeGreaterThan(1);
  });

  it('lets tasks run between one-shot hashes', async () => {
    const blocks = BYTES.subarray(0, 2 ** 21);
    const turns = await turnsDuring(async () => {
      for (let i = 0; i < 6; i++) await engine.leaves(blocks);
    });
    expect(turns).toBeGreaterThan(1);
    expect(await engine.nodes(blocks.subarray(0, 64))).toEqual(await plain.nodes(blocks.subarray(0, 64)));
  });

  it('refuses what the engine below refuses', async () => {
    const stream = engine.start({ byteLength: 3, sha256: false, keep: 'root' });
    await expect(stream.update(new Uint8Array(4))).rejects.toMatchObject({ code: 'SOURCE_MISMATCH' });
    const aborted = engine.start({ byteLength: 3, sha256: false, keep: 'root' });
    aborted.abort();
    await expect(aborted.update(new Uint8Array(0))).rejects.toMatchObject({ code: 'ABORTED' });
  });
});

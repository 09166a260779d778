import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { expect, it } from 'vitest';
import { sanitizer } from '../support/sanitizer.js';
import { xorshiftBytes } from '../support/xorshift.js';
import { describeCuda, withDevice } from './testbed.js';

const BYTES = 12_345;
/** Far from the front, which malloc overwrites when it takes memory back. */
const MIDDLE = 4160;
const WINDOW = 1 << 20;
const missing = reasonToSkip();

function reasonToSkip(): string {
  if (!existsSync('/proc/self/mem')) return ' (NOT RUN: the system shows no process memory)';
  return sanitizer !== null ? ' (NOT RUN: the shadow memory of the sanitizers is too large to search)' : '';
}

/**
 * How many times 24 bytes from the middle of the pattern stand in writable memory; the needle itself is held as its
 * complement.
 */
function residue(seed: number): number {
  const pattern = xorshiftBytes(seed, BYTES);
  const expected = pattern.subarray(MIDDLE, MIDDLE + 24).map((byte) => byte ^ 0xff);
  pattern.fill(0);
  const window = Buffer.allocUnsafeSlow(WINDOW);
  const memory = openSync('/proc/self/mem', 'r');
  let hits = 0;
  try {
    for (const line of readFileSync('/proc/self/maps', 'utf8').split('\n')) {
      const [, from = '', to = ''] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
      if (from === '') continue;
      const end = Number.parseInt(to, 16);
      for (let at = Number.parseInt(from, 16); at < end; at += WINDOW - expected.length) {
        let read = 0;
        try {
          read = readSync(memory, window, 0, Math.min(WINDOW, end - at), at);
        } catch {
          // A mapping that went away or cannot be read holds nothing to find.
          break;
        }
        hits += count(window, read, expected);
        window.fill(0, 0, read);
      }
    }
  } finally {
    closeSync(memory);
  }
  return hits;
}

function count(window: Uint8Array, length: number, complement: Uint8Array): number {
  let hits = 0;
  const first = (complement[0] ?? 0) ^ 0xff;
  for (let at = window.indexOf(first); at >= 0 && at + complement.length <= length; ) {
    if (complement.every((byte, i) => window[at + i] === (byte ^ 0xff))) hits += 1;
    at = window.indexOf(first, at + 1);
  }
  return hits;
}

describeCuda('cuda: what is left in host memory', (bed) => {
  it.skipIf(missing !== '')(
    `[VP-003] neither a write nor a read leaves weight bytes on the heap${missing}`,
    { timeout: 60_000 },
    async () => {
      await withDevice(bed, async (device) => {
        const region = await device.allocate(BYTES);
        const bytes = xorshiftBytes(31, BYTES);
        await region.write(0, bytes);
        expect(residue(31)).toBeGreaterThan(0);
        await region.freeze();
        (await region.read(0, BYTES)).fill(0);
        bytes.fill(0);
        await region.release();
      });
      expect(residue(31)).toBe(0);
    },
  );
});

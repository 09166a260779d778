import { describe, expect, it } from 'vitest';
import type { Region } from '../../../../src/device/index.js';
import { fsverityDigest } from '../../../../src/digest/index.js';
import { measure, residentDigest } from '../../../../src/manager/integrity/device-tree.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { failure } from '../fixture.js';
import { BLOCK, part } from './fixture.js';

describe('digests of device memory', () => {
  it('are looked at again when they differ, once', async () => {
    const looks = async (...digests: string[]): Promise<unknown> => {
      let count = 0;
      const mismatches: number[] = [];
      const found = await measure(
        'sealed',
        async () => digests[count++] ?? 'none',
        () => mismatches.push(count),
      );
      return { ...found, count, mismatches };
    };
    const seen = { count: 2, mismatches: [1] };
    expect(await looks('sealed')).toEqual({ verdict: 'equal', actual: 'sealed', count: 1, mismatches: [] });
    expect(await looks('other', 'sealed')).toEqual({ verdict: 'transient', actual: 'other', ...seen });
    expect(await looks('other', 'third')).toEqual({ verdict: 'different', actual: 'third', ...seen });
  });

  it('over fewer or more blocks than there are do not count', async () => {
    const region = (blocks: number): Region =>
      ({
        byteLength: BLOCK + 1,
        root: async () => ({ root: new Uint8Array(32), blocks }),
      }) as unknown as Region;
    for (const blocks of [1, 3]) {
      expect(await failure(residentDigest(part(), region(blocks), {}))).toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message: `the device hashed ${blocks} of 2 blocks; the run does not count`,
      });
    }
    expect(await residentDigest(part(), region(2), {})).toBe(
      await fsverityDigest(BLOCK + 1, new Uint8Array(32), (input) => nodeCrypto.sha256(input)),
    );
  });
});

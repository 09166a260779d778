import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../../src/base/hex.js';
import { fsverityDescriptor } from '../../../src/digest/descriptor.js';
import {
  BLOCK_BYTES,
  checkDigest,
  formatDigest,
  fsverityDigest,
  GROUP_BYTES,
  treeLayout,
} from '../../../src/digest/index.js';
import { sha256 } from './engines.js';

const MAX = Number.MAX_SAFE_INTEGER;
const HEX = '0123456789abcdef'.repeat(4);

function refused(argument: string) {
  return expect.objectContaining({ name: 'VramError', code: 'INVALID_INPUT', argument });
}

describe('treeLayout', () => {
  it.each<[number, number[]]>([
    [0, []],
    [1, [1]],
    [4095, [1]],
    [4096, [1]],
    [4097, [2, 1]],
    [GROUP_BYTES, [128, 1]],
    [GROUP_BYTES + 1, [129, 2, 1]],
    [GROUP_BYTES * 128, [16_384, 128, 1]],
    [GROUP_BYTES * 128 + 1, [16_385, 129, 2, 1]],
    [3 * 2 ** 20 + 1, [769, 7, 1]],
    [MAX, [2 ** 41, 2 ** 34, 2 ** 27, 2 ** 20, 2 ** 13, 2 ** 6, 1]],
    [MAX - 4094, [2 ** 41, 2 ** 34, 2 ** 27, 2 ** 20, 2 ** 13, 2 ** 6, 1]],
    [MAX - 4095, [2 ** 41 - 1, 2 ** 34, 2 ** 27, 2 ** 20, 2 ** 13, 2 ** 6, 1]],
    [2 ** 52 + 1, [2 ** 40 + 1, 2 ** 33 + 1, 2 ** 26 + 1, 2 ** 19 + 1, 2 ** 12 + 1, 33, 1]],
  ])('of %d bytes has levels of %j nodes', (byteLength, nodes) => {
    const layout = treeLayout(byteLength);
    let offset = 0;
    const levels = nodes.map((count) => {
      offset += count;
      return { nodes: count, offset: offset - count };
    });
    expect(layout).toEqual({ byteLength, blocks: nodes[0] ?? 0, levels });
    expect(Object.isFrozen(layout.levels)).toBe(true);
  });

  it.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, MAX + 1])('[MS-006] refuses %d bytes', (bad) => {
    expect(() => treeLayout(bad)).toThrow(refused('byteLength'));
  });
});

describe('fsverityDescriptor', () => {
  it('has the layout of struct fsverity_descriptor', () => {
    const root = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
    const descriptor = fsverityDescriptor(MAX, root);
    expect(descriptor).toHaveLength(256);
    expect(toHex(descriptor.subarray(0, 16))).toBe('01010c0000000000ffffffffffff1f00');
    expect(descriptor.subarray(16, 48)).toEqual(root);
    expect(descriptor.subarray(48)).toEqual(new Uint8Array(208));
    expect(2 ** (descriptor[2] ?? 0)).toBe(BLOCK_BYTES);
  });

  it('digests empty data as the fsverity program does', async () => {
    const digest = await fsverityDigest(0, new Uint8Array(32), async (bytes) => sha256(bytes));
    expect(digest).toBe(
      'fsverity-sha256-12:3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95',
    );
  });

  it('refuses a bad size and a bad root', () => {
    expect(() => fsverityDescriptor(-1, new Uint8Array(32))).toThrow(refused('byteLength'));
    expect(() => fsverityDescriptor(2 ** 53, new Uint8Array(32))).toThrow(refused('byteLength'));
    expect(() => fsverityDescriptor(1, new Uint8Array(31))).toThrow(refused('root'));
    expect(() => fsverityDescriptor(1, new Uint8Array(31))).toThrow('"root" must be 32 bytes, got 31');
    expect(() => fsverityDescriptor(1, new Uint8Array(64))).toThrow(refused('root'));
  });
});

describe('[IV-004] digest strings', () => {
  it('are read and written', () => {
    expect(checkDigest('digest', `sha256:${HEX}`)).toEqual({ algorithm: 'sha256', hex: HEX });
    expect(checkDigest('digest', `fsverity-sha256-12:${HEX}`)).toEqual({ algorithm: 'fsverity', hex: HEX });
    expect(checkDigest('digest', `sha256:${HEX.toUpperCase()}`).hex).toBe(HEX);
    for (const text of [`sha256:${HEX}`, `fsverity-sha256-12:${HEX}`]) {
      expect(formatDigest(checkDigest('digest', text))).toBe(text);
    }
  });

  it.each([
    '',
    HEX,
    'sha256:',
    `sha256:${HEX.slice(1)}`,
    `sha256:${HEX}0`,
    `sha256:${HEX}\n`,
    `sha256:${HEX}\0`,
    ` sha256:${HEX}`,
    `SHA256:${HEX}`,
    `sha256:g${HEX.slice(1)}`,
    `fsverity:${HEX}`,
    `fsverity-sha256-16:${HEX}`,
    `fsverity-sha512-12:${HEX}`,
    `sha256-${HEX}`,
    null,
    undefined,
    7,
    new Uint8Array(32),
    [`sha256:${HEX}`],
  ])('are refused when malformed: %j', (text) => {
    expect(() => checkDigest('expected', text)).toThrow(refused('expected'));
    expect(() => checkDigest('expected', text)).toThrow(
      '"expected" must be "sha256:" or "fsverity-sha256-12:" followed by 64 hexadecimal digits',
    );
  });
});

describe('hex', () => {
  it('goes both ways', () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    expect(toHex(bytes)).toBe(Buffer.from(bytes).toString('hex'));
    expect(fromHex(toHex(bytes))).toEqual(bytes);
    expect(fromHex('FFfe')).toEqual(Uint8Array.of(255, 254));
    expect(fromHex('')).toEqual(new Uint8Array());
  });

  const neighbours = ['0/', '0:', '0@', '0G', '0`', '0g', '\u0130a', '\uff10a'];
  it.each(['0', 'zz', '0x', ' 1', '1 ', '+1', '1.', '00\n', ...neighbours])('refuses %j', (text) => {
    expect(() => fromHex(text)).toThrow(refused('hex'));
    expect(() => fromHex(text, 'signature')).toThrow(refused('signature'));
  });
});

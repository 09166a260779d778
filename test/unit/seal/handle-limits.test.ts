import { describe, expect, it } from 'vitest';
import { readHandle } from '../../../src/seal/handle.js';
import { NOT_GENUINE, PAYLOAD, SIGNATURE } from './fixture.js';

const GOOD = { ...PAYLOAD, signature: SIGNATURE };
const HEX = 'ab'.repeat(32);
const FILE = { byteLength: 4097, sha256: HEX, fsverity: `fsverity-sha256-12:${HEX}` };
const SECOND = { ...GOOD, v: 2, layout: 'tensors', tensors: HEX, source: [FILE], shared: false };

function refused(handle: unknown): { code: string; message: string } {
  try {
    readHandle(handle);
  } catch (error) {
    if (error instanceof Error && 'code' in error)
      return { code: String(error.code), message: error.message };
    throw error;
  }
  throw new Error('the call succeeded');
}

const notGenuine = (problem: string) => ({
  code: 'SEAL_VERIFICATION_FAILED',
  message: `${NOT_GENUINE}${problem}`,
});

describe('the size of a handle', () => {
  const long = 'x'.repeat(65_537);
  // Parsing would find what is wrong with each of these, after it had read all of it.
  it.each([
    ['its text is long', 1_048_576, 'x'.repeat(1_048_577)],
    ['one of its texts is long', 65_536, { v: 1, signature: long }],
    ['a text of its device is long', 65_536, { v: 1, signature: 'x', device: { name: long } }],
    ['a text of a file is long', 65_536, { v: 2, signature: 'x', source: [{ sha256: long }] }],
  ])('is refused before it is parsed if %s', (_, limit, handle) => {
    expect(refused(handle)).toEqual(notGenuine(`it holds a text of more than ${limit} characters`));
  });

  it('is refused if it has many files, of which none is looked at', () => {
    expect(refused({ source: Array(4097).fill(undefined) })).toEqual(
      notGenuine('"source" has more than 4096 files'),
    );
  });

  it('is refused if it has many keys, and so is one whose device has', () => {
    const many = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, 1]));
    for (const handle of [many, { device: many }]) {
      expect(refused(handle)).toEqual(notGenuine('it has more than 64 keys'));
    }
  });

  it('may come up to each limit', () => {
    expect(refused('{}'.padEnd(1_048_576)).code).toBe('NOT_SEALED');
    const name = 'x'.repeat(65_536);
    expect(readHandle({ ...GOOD, shardId: name, device: { ...GOOD.device, name } }).payload['shardId']).toBe(
      name,
    );
    const files = Array.from({ length: 4096 }, () => FILE);
    expect(readHandle({ ...SECOND, source: files }).payload['source']).toHaveLength(4096);
    const many = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`k${i}`, 1]));
    expect(refused(many).code).toBe('NOT_SEALED');
  });
});

describe('the files of a handle of version 2', () => {
  it('are given as they are, or null', () => {
    expect(readHandle(SECOND).payload['source']).toEqual([FILE]);
    expect(readHandle({ ...SECOND, source: [] }).payload['source']).toEqual([]);
    expect(readHandle({ ...SECOND, source: null }).payload['source']).toBeNull();
    expect(readHandle(JSON.stringify(SECOND)).payload['source']).toEqual([FILE]);
  });

  const { byteLength: _, ...unsized } = FILE;
  it.each([
    ['an object', FILE, '"source" is neither an array nor null'],
    ['text', 'a.safetensors', '"source" is neither an array nor null'],
    ['an array with null', [FILE, null], '"source" holds a value that is not an object'],
    ['an array with text', ['a.safetensors'], '"source" holds a value that is not an object'],
    ['an array in an array', [[FILE]], 'it holds a value that is not JSON'],
    ['a file without a size', [unsized], 'a file of "source" has no "byteLength"'],
    ['a file with more', [FILE, { ...FILE, path: '/' }], 'a file of "source" has an unknown key'],
  ])('are refused as %s', (_name, source, problem) => {
    expect(refused({ ...SECOND, source })).toEqual(notGenuine(problem));
  });
});

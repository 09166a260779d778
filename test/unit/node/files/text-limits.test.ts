import { describe, expect, it } from 'vitest';
import { bytesAccess, findTensor, parseExpected, readShardedIndex } from '../../../../src/models/index.js';
import type { TensorEntry } from '../../../../src/models/tensors.js';
import { listLog } from '../../../../src/node/audit/layout.js';
import { nodeFileSystem } from '../../../../src/node/files/index.js';
import { growth, LINEAR } from '../../../support/growth.js';

const HEX = 'ab'.repeat(32);
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

function refused(call: () => unknown): { code: string; message: string } {
  try {
    call();
  } catch (error) {
    if (error instanceof Error && 'code' in error)
      return { code: String(error.code), message: error.message };
    throw error;
  }
  throw new Error('the call succeeded');
}

describe('a list of digests', () => {
  it('has lines and names of bounded length, and is asked for paths of bounded length', () => {
    const list = parseExpected(`${HEX}  m.bin\n`);
    expect(list.for(`${'x/'.repeat(2045)}m.bin`).digest).toBe(`sha256:${HEX}`);
    expect(refused(() => list.for(`${'x/'.repeat(2046)}m.bin`)).message).toContain('at most 4096 characters');
    expect(refused(() => parseExpected(`# list\n${HEX}  ${'x'.repeat(4097)}`)).message).toContain(
      'has a file name of more than 4096 characters (line 2)',
    );
    expect(refused(() => parseExpected(`# list\n${'x'.repeat(9000)}`)).message).toContain(
      'has a line of more than 8320 characters (line 2)',
    );
  });

  it('takes linear time for twenty thousand files', async () => {
    const ratio = await growth(
      (size) => {
        const files = Array.from({ length: size }, (_, i) => `model/part/${i}.safetensors`);
        return { files, text: files.map((file) => `${HEX}  ${file}\n`).join('') };
      },
      ({ files, text }) => parseExpected(text).forAll(files.map((file) => `./below/${file}`)),
      4_000,
    );
    expect(ratio).toBeLessThan(LINEAR);
  });
});

describe('a model', () => {
  it('gives all of its tensors by name after a few looks at each', async () => {
    let looks = 0;
    const tensors = Array.from({ length: 1_000 }, (_, i): TensorEntry => {
      return {
        get name() {
          looks += 1;
          return `t${i}`;
        },
        dtype: 'U8',
        shape: [1],
        byteOffset: i,
        byteLength: 1,
        encoding: 'raw',
      };
    });
    const model = { shards: [{ tensors }] };
    for (let i = 0; i < 1_000; i++) expect(findTensor(model, `t${i}`).tensor.byteOffset).toBe(i);
    expect(looks).toBeLessThan(4_000);
  });

  it('has an index that is read in linear time', async () => {
    const ratio = await growth(
      (size) => {
        const map = Array.from({ length: size }, (_, i) => `"layers.${i}.w":"${i % 4096}.safetensors"`);
        return bytesAccess(utf8(`{"weight_map":{${map.join(',')}}}`));
      },
      (access) => readShardedIndex(access),
      4_000,
    );
    expect(ratio).toBeLessThan(LINEAR);
  });
});

describe("a log's directory", () => {
  it('is listed in linear time, whatever others put there', async () => {
    const ratio = await growth(
      (size) =>
        Array.from({ length: size }, (_, i) => {
          const stem = `${String(i).padStart(16, '0')}-2026-01-01`;
          return [`${stem}.ndjson`, `${stem}.leaves`];
        }).flat(),
      (names) => listLog({ ...nodeFileSystem, list: async () => names }, 'log'),
      1_000,
    );
    expect(ratio).toBeLessThan(LINEAR);
  });
});

import {
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { isVramError } from '../../../../src/base/errors.js';
import { openModel, openShard } from '../../../../src/node/files/model-files.js';
import { onnxExternal, onnxFile, onnxTensor, safetensorsFile } from '../../../fuzz/build.mjs';

/** Runs around every call that looks at a name: an attacker who wins every race. */
const hook = vi.hoisted(() => ({ onCall: (): void => undefined, descriptorsHavePaths: true }));

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  const around =
    <Given extends unknown[], Result>(call: (...given: Given) => Promise<Result>) =>
    async (...given: Given): Promise<Result> => {
      hook.onCall();
      const result = await call(...given);
      hook.onCall();
      return result;
    };
  return {
    ...real,
    open: around(real.open),
    stat: around(real.stat),
    lstat: around(real.lstat),
    readlink: around(async (path: string) => {
      if (!hook.descriptorsHavePaths) throw Object.assign(new Error('no /proc'), { code: 'ENOENT' });
      return await real.readlink(path);
    }),
    realpath: around(real.realpath),
    readdir: around(real.readdir),
  };
});

let root: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'switch-')));
});
afterEach(() => {
  hook.onCall = () => undefined;
  hook.descriptorsHavePaths = true;
  rmSync(root, { recursive: true });
});

function put(name: string, content: Uint8Array | string): void {
  mkdirSync(dirname(join(root, name)), { recursive: true });
  writeFileSync(join(root, name), content);
}

const INSIDE = 1;
const OUTSIDE = 2;
const weights = (fill: number): Uint8Array =>
  safetensorsFile({ a: { dtype: 'U8', shape: [4], data_offsets: [0, 4] } }, new Uint8Array(4).fill(fill));

/**
 * Each makes a folder `model`, of which `model/<entry>` can be swapped with `other`, which is or leads to what lies
 * outside.
 */
const CASES: readonly { what: string; entry: string; path: string; make: () => void }[] = [
  {
    what: 'a file, and a link out',
    entry: '1.safetensors',
    path: 'model/model.safetensors.index.json',
    make: () => {
      put('model/1.safetensors', weights(INSIDE));
      put('model/model.safetensors.index.json', '{"weight_map":{"a":"1.safetensors"}}');
      put('secret/1.safetensors', weights(OUTSIDE));
      symlinkSync('../secret/1.safetensors', join(root, 'other'));
    },
  },
  {
    what: 'a link inside, and a link out',
    entry: '1.safetensors',
    path: 'model',
    make: () => {
      put('model/real', weights(INSIDE));
      symlinkSync('real', join(root, 'model/1.safetensors'));
      put('model/model.safetensors.index.json', '{"weight_map":{"a":"1.safetensors"}}');
      put('secret/1.safetensors', weights(OUTSIDE));
      symlinkSync('../secret/1.safetensors', join(root, 'other'));
    },
  },
  {
    what: 'a folder below, and a link to a folder outside',
    entry: 'data',
    path: 'model/m.onnx',
    make: () => {
      put('model/data/w.bin', new Uint8Array(8).fill(INSIDE));
      put('secret/w.bin', new Uint8Array(8).fill(OUTSIDE));
      const fields = onnxExternal({ location: 'data/w.bin' });
      put('model/m.onnx', onnxFile({ initializers: [onnxTensor({ raw: null, fields })] }));
      symlinkSync('../secret', join(root, 'other'));
    },
  },
];

function swap(entry: string): void {
  renameSync(join(root, 'model', entry), join(root, 'aside'));
  renameSync(join(root, 'other'), join(root, 'model', entry));
  renameSync(join(root, 'aside'), join(root, 'other'));
}

/** Opens the model and reads the last byte of its last shard. Null where it is refused. */
async function lastByte(path: string): Promise<number | null> {
  try {
    const model = await openModel(join(root, path));
    const shard = model.shards.at(-1);
    if (shard === undefined) throw new Error('no shard');
    const source = await openShard(shard);
    try {
      return (await source.readRange?.(source.byteLength - 1, 1))?.[0] ?? null;
    } finally {
      await source.close();
    }
  } catch (error) {
    if (isVramError(error)) return null;
    throw error;
  }
}

/** How many moments a run has at which names can be switched. */
async function moments(path: string): Promise<number> {
  let calls = 0;
  hook.onCall = () => {
    calls += 1;
  };
  expect(await lastByte(path)).toBe(INSIDE);
  return calls;
}

it.each(CASES)(
  '$what, switched at any moment, and back, while it is opened, lead to nothing outside the folder',
  async ({ entry, path, make }) => {
    make();
    const last = await moments(path);
    expect(last).toBeGreaterThan(6);
    let opened = 0;
    for (let first = 0; first < last; first++) {
      // Switched back at once, a little later, or not at all.
      for (const second of [first + 1, first + 3, last]) {
        let call = 0;
        let swapped = false;
        hook.onCall = () => {
          if (call === first || call === second) {
            swap(entry);
            swapped = !swapped;
          }
          call += 1;
        };
        const byte = await lastByte(path);
        expect(byte, `switched at ${first} and ${second}`).not.toBe(OUTSIDE);
        if (byte === INSIDE) opened += 1;
        if (swapped) swap(entry);
      }
    }
    // Some switches come and go between two looks: then what is inside is opened.
    expect(opened).toBeGreaterThan(0);
  },
);

it.each(CASES)(
  '$what: the one is opened and the other refused, also without /proc',
  async ({ entry, path, make }) => {
    make();
    for (const descriptorsHavePaths of [true, false]) {
      hook.descriptorsHavePaths = descriptorsHavePaths;
      expect(await lastByte(path)).toBe(INSIDE);
      swap(entry);
      expect(await lastByte(path)).toBeNull();
      swap(entry);
    }
  },
);

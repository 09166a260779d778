import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isVramError } from '../../../../src/base/errors.js';
import { fileSource } from '../../../../src/node/files/file-source.js';
import { openModel, openShard } from '../../../../src/node/files/model-files.js';
import {
  ggufFile,
  ggufTensor,
  onnxExternal,
  onnxFile,
  onnxTensor,
  safetensorsFile,
} from '../../../fuzz/build.mjs';

/** Gives the child a root of its own, as a container has it, says so, and waits until its stdin closes. */
const ENTER = 'mount --bind "$1" "$1" && cd "$1" && pivot_root . old && echo ready && read end';
const NAMESPACES = ['-Urm', 'sh', '-c'];

function cannotMakeRoots(): string | null {
  if (process.platform !== 'linux') return 'only Linux has /proc/PID/root';
  const probe = mkdtempSync(join(tmpdir(), 'root-'));
  mkdirSync(join(probe, 'old'));
  try {
    execFileSync('unshare', [...NAMESPACES, ENTER, 'sh', probe], { stdio: ['ignore', 'pipe', 'pipe'] });
    return null;
  } catch (error) {
    // `read` at the end of its input exits with 1, after the line that says that it worked.
    const said = error instanceof Error && 'stdout' in error ? String(error.stdout) : '';
    return said.includes('ready') ? null : 'this user may not make mount namespaces';
  } finally {
    rmSync(probe, { recursive: true });
  }
}
const missing = cannotMakeRoots();

let folder: string;
let container: ChildProcess | undefined;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'root-')));
});
afterEach(async () => {
  if (container !== undefined) {
    const ended = once(container, 'exit');
    container.stdin?.end();
    await ended;
    container = undefined;
  }
  rmSync(folder, { recursive: true });
});

/** Puts the same names into the container and, with other bytes, where the container's paths lead out here. */
function put(name: string, content: (fill: number) => Uint8Array): void {
  for (const [root, fill] of [
    [join(folder, 'container', folder), 1],
    [folder, 2],
  ] as const) {
    mkdirSync(join(root, 'models'), { recursive: true });
    writeFileSync(join(root, 'models', name), content(fill));
  }
}

/** The folder of models in a running container, as it is named from out here. */
async function enter(): Promise<string> {
  const root = join(folder, 'container');
  mkdirSync(join(root, 'old'), { recursive: true });
  const child = spawn('unshare', [...NAMESPACES, ENTER, 'sh', root], { stdio: ['pipe', 'pipe', 'inherit'] });
  container = child;
  await once(child.stdout, 'data');
  return join(`/proc/${child.pid}/root`, folder, 'models');
}

async function lastBytes(path: string): Promise<(number | undefined)[]> {
  const bytes: (number | undefined)[] = [];
  for (const shard of (await openModel(path)).shards) {
    const source = await openShard(shard);
    bytes.push((await source.readRange?.(source.byteLength - 1, 1))?.[0]);
    await source.close();
  }
  return bytes;
}

const weights = (name: string) => (fill: number) =>
  safetensorsFile(
    { [name]: { dtype: 'U8', shape: [4], data_offsets: [0, 4] } },
    new Uint8Array(4).fill(fill),
  );
const text = (value: string) => () => new TextEncoder().encode(value);

describe.skipIf(missing !== null)(
  `below the root of another process${missing ? ` (${missing})` : ''}`,
  () => {
    it('the files of the container are opened, in every format, and not those of the same path out here', async () => {
      put('single.safetensors', weights('a'));
      put('1.safetensors', weights('a'));
      put('2.safetensors', weights('b'));
      put('m.safetensors.index.json', text('{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}'));
      const fields = onnxExternal({ location: 'm.bin' });
      put('m.onnx', () => onnxFile({ initializers: [onnxTensor({ raw: null, fields })] }));
      put('m.bin', (fill) => new Uint8Array(8).fill(fill));
      for (const [part, name] of [
        ['g-00001-of-00002.gguf', 'a'],
        ['g-00002-of-00002.gguf', 'b'],
      ] as const) {
        put(part, (fill) => {
          const file = ggufFile({ tensors: [ggufTensor({ name })] });
          file[file.length - 1] = fill;
          return file;
        });
      }
      const models = await enter();
      // A model server is given a link to it, as KServe's modelcar makes it.
      const link = join(folder, 'link');
      symlinkSync(models, link);
      for (const start of [models, link]) {
        expect(await lastBytes(join(start, 'single.safetensors'))).toEqual([1]);
        expect(await lastBytes(join(start, 'm.safetensors.index.json'))).toEqual([1, 1]);
        expect((await lastBytes(join(start, 'm.onnx')))[1]).toBe(1);
        expect(await lastBytes(join(start, 'g-00001-of-00002.gguf'))).toEqual([1, 1]);
        const source = await fileSource(join(start, 'm.bin'));
        expect(await source.readRange?.(0, 1)).toEqual(Uint8Array.of(1));
        await source.close();
      }
    });

    it('what only the container has is found, and a link from it to the same path out here is refused', async () => {
      put('1.safetensors', weights('a'));
      put('m.safetensors.index.json', text('{"weight_map":{"a":"1.safetensors"}}'));
      rmSync(join(folder, 'models'), { recursive: true });
      const models = await enter();
      expect(await lastBytes(models)).toEqual([1]);
      mkdirSync(join(folder, 'models'));
      writeFileSync(join(folder, 'models/1.safetensors'), weights('a')(2));
      rmSync(join(models, '1.safetensors'));
      // Both files have the same path, each in its own root.
      symlinkSync(join('/proc/self/root', folder, 'models/1.safetensors'), join(models, '1.safetensors'));
      const error: unknown = await openModel(models).catch((reason: unknown) => reason);
      expect(isVramError(error)).toBe(true);
    });
  },
);

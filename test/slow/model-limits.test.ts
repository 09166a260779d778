import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { safetensorsFile } from '../fuzz/build.mjs';

/** As many tensors as a mixture of 896 experts a layer has, in 92 layers: weights and scales of three projections. */
const LAYERS = 92;
const EXPERTS = 896;
const PER_FILE = 8_192;
const MIB = 1024 * 1024;
const root = fileURLToPath(new URL('../../', import.meta.url));
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'limits-'));
  buildSync({
    stdin: {
      contents:
        "export { openModel } from './src/node/files/model-files.ts'; export { isVramError } from './src/base/errors.ts';",
      resolveDir: root,
    },
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: join(folder, 'bundle.mjs'),
    logLevel: 'error',
  });
  writeFileSync(join(folder, 'warm.safetensors'), tensors(['a']));
});
afterAll(() => rmSync(folder, { recursive: true }));

function tensors(names: readonly string[]): Uint8Array {
  const header = names.map((name, i) => [name, { dtype: 'U8', shape: [1], data_offsets: [i, i + 1] }]);
  return safetensorsFile(Object.fromEntries(header), new Uint8Array(names.length));
}

function mixtureOfExperts(name: string, layers: number): string {
  const directory = join(folder, name);
  mkdirSync(directory);
  const names: string[] = [];
  for (let layer = 1; layer <= layers; layer++)
    for (let expert = 0; expert < EXPERTS; expert++)
      for (const part of ['w1', 'w2', 'w3'])
        for (const kind of ['weight_packed', 'weight_scale'])
          names.push(
            `language_model.model.layers.${layer}.block_sparse_moe.experts.${expert}.${part}.${kind}`,
          );
  const members: string[] = [];
  for (let first = 0; first < names.length; first += PER_FILE) {
    const file = `model-${first / PER_FILE}.safetensors`;
    const held = names.slice(first, first + PER_FILE);
    writeFileSync(join(directory, file), tensors(held));
    for (const each of held) members.push(`"${each}":"${file}"`);
  }
  writeFileSync(join(directory, 'model.safetensors.index.json'), `{"weight_map":{${members.join(',\n')}}}`);
  return directory;
}

interface Reading {
  readonly outcome: string;
  /** Of the peak resident set, in bytes. */
  readonly growth: number;
  readonly cpuMs: number;
}

/** The least of three: what else the machine does only makes a run longer. */
function open(path: string): Reading {
  const script = join(root, 'test/fuzz/peak-memory.mjs');
  const given = [script, join(folder, 'bundle.mjs'), join(folder, 'warm.safetensors'), path];
  const readings = [1, 2, 3].map(
    (): Reading => JSON.parse(execFileSync(process.execPath, given, { encoding: 'utf8' })),
  );
  return readings.reduce((least, next) => (next.cpuMs < least.cpuMs ? next : least));
}

function oneFile(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** An adapter over every expert, in one file. */
function adapter(count: number): string {
  const name = (i: number): string =>
    `base_model.model.model.layers.${i >> 9}.mlp.experts.${i & 511}.up_proj.lora_A.weight`;
  return oneFile(`adapter-${count}.safetensors`, tensors(Array.from({ length: count }, (_, i) => name(i))));
}

/** Names of 84 bytes each. */
function longNames(count: number): string {
  const names = Array.from({ length: count }, (_, i) => `${i}.`.padEnd(84, 'x'));
  return oneFile(`names-${count}.safetensors`, tensors(names));
}

function metadata(count: number): string {
  const entries = Array.from({ length: count }, (_, i) => [`l.${i}`, '{"_type":"Float8Tensor"}']);
  const header = {
    __metadata__: Object.fromEntries(entries),
    a: { dtype: 'U8', shape: [1], data_offsets: [0, 1] },
  };
  return oneFile(`metadata-${count}.safetensors`, safetensorsFile(header, new Uint8Array(1)));
}

interface Limit {
  readonly what: string;
  readonly half: () => string;
  readonly whole: () => string;
  readonly tensors: readonly [number, number];
}

const LIMITS: readonly Limit[] = [
  {
    what: 'an index of 494,592 tensors',
    half: () => mixtureOfExperts('half', LAYERS / 2),
    whole: () => mixtureOfExperts('whole', LAYERS),
    tensors: [247_296, 494_592],
  },
  {
    what: 'a file of 36,864 tensors, and one of 73,728',
    half: () => adapter(36_864),
    whole: () => adapter(73_728),
    tensors: [36_864, 73_728],
  },
  {
    what: '11 MB of names',
    half: () => longNames(65_536),
    whole: () => longNames(131_072),
    tensors: [65_536, 131_072],
  },
  {
    what: '4,097 metadata entries, and 8,194',
    half: () => metadata(4_097),
    whole: () => metadata(8_194),
    tensors: [1, 1],
  },
];

it.each(LIMITS)('$what: under 512 MiB, and twice as many at most 2.3 times the time', (limit) => {
  const half = open(limit.half());
  const whole = open(limit.whole());
  expect([half, whole].map(({ outcome }) => outcome)).toEqual(
    limit.tensors.map((count) => `${count} tensors`),
  );
  const ratio = whole.cpuMs / half.cpuMs;
  const mib = (whole.growth / MIB).toFixed(0);
  const [first, second] = [half, whole].map(({ cpuMs }) => (cpuMs / 1000).toFixed(2));
  console.log(
    `${limit.what}: ${first} s, then ${second} s of CPU time, ${ratio.toFixed(2)} times; grew ${mib} MiB`,
  );
  expect(whole.growth).toBeLessThan(400 * MIB);
  expect(ratio).toBeLessThan(2.3);
});

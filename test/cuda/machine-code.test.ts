import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { ptx } from '../../src/generated/ptx.js';
import { altered, ELF, fatbin, ptxEntry } from './fatbin.js';
import { managerWork } from './sweep.js';
import { describeCuda } from './testbed.js';

const MIB = 1024 * 1024;
const VARIABLE = 'VRAM_RESIDENCY_CUDA_KERNELS';
const shipped = ptx['vram'] ?? '';
const EMPTY_KERNEL =
  '.version 8.0\n.target sm_75\n.address_size 64\n.visible .entry nothing()\n{\n\tret;\n}\n';
const small = fatbin([ptxEntry(EMPTY_KERNEL)]);
const elf = { kind: ELF, architecture: 90, payload: new Uint8Array(64).fill(0x7f) };
/** Where the first entry begins, and the second of a container whose first is `elf`. */
const FIRST = 16;
const SECOND = 16 + 64 + 64;

const HOSTILE: readonly (readonly [what: string, bytes: Uint8Array, words: RegExp])[] = [
  ['nothing', new Uint8Array(0), /must not be empty/],
  ['one byte less than a header', small.slice(0, 15), /shorter than its header/],
  ['a header alone', small.slice(0, 16), /cut off/],
  ['one byte cut off', small.slice(0, -1), /cut off/],
  ['half of it cut off', small.slice(0, small.length / 2), /cut off/],
  ['one byte too many', new Uint8Array([...small, 0]), /bytes behind its end/],
  ['another magic', altered(small, (view) => view.setUint8(0, 0x51)), /does not begin/],
  ['zeros', new Uint8Array(4096), /does not begin/],
  ['an ELF file', new Uint8Array([0x7f, 0x45, 0x4c, 0x46, ...new Uint8Array(60)]), /does not begin/],
  ['PTX as bytes', new TextEncoder().encode(EMPTY_KERNEL), /does not begin/],
  ['another version', altered(small, (view) => view.setUint16(4, 2, true)), /version/],
  ['a header of no size', altered(small, (view) => view.setUint16(6, 0, true)), /header of a wrong size/],
  ['a huge header', altered(small, (view) => view.setUint16(6, 0xffff, true)), /header of a wrong size/],
  ['a huge size', altered(small, (view) => view.setBigUint64(8, 2n ** 64n - 1n, true)), /cut off/],
  ['a size that wraps', altered(small, (view) => view.setBigUint64(8, 2n ** 64n - 16n, true)), /cut off/],
  ['a size of zero', altered(small, (view) => view.setBigUint64(8, 0n, true)), /bytes behind its end/],
  ['no entries', fatbin([]), /holds nothing/],
  [
    'an entry that ends in its header',
    altered(new Uint8Array([...fatbin([elf]), ...new Uint8Array(63)]), (view) =>
      view.setBigUint64(8, 128n + 63n, true),
    ),
    /within an entry's header/,
  ],
  [
    'an entry with a header of no size',
    altered(small, (view) => view.setUint32(FIRST + 4, 0, true)),
    /entry with a header/,
  ],
  [
    'an entry with a huge header',
    altered(small, (view) => view.setUint32(FIRST + 4, 2 ** 32 - 1, true)),
    /entry with a header/,
  ],
  ['an empty entry', altered(small, (view) => view.setBigUint64(FIRST + 8, 0n, true)), /empty entry/],
  [
    'a huge entry',
    altered(small, (view) => view.setBigUint64(FIRST + 8, 2n ** 64n - 1n, true)),
    /larger than what is left/,
  ],
  [
    'an entry one byte larger than what is left',
    altered(small, (view) => view.setBigUint64(FIRST + 8, BigInt(small.length - FIRST - 63), true)),
    /larger than what is left/,
  ],
  [
    'a second entry that is too large',
    altered(fatbin([elf, ptxEntry(EMPTY_KERNEL)]), (view) => view.setBigUint64(SECOND + 8, 2n ** 32n, true)),
    /larger than what is left/,
  ],
  [
    'more compressed bytes than there are',
    altered(small, (view) => view.setUint32(FIRST + 16, 2 ** 32 - 1, true)),
    /more compressed bytes/,
  ],
  [
    'PTX that does not end',
    fatbin([{ kind: 1, architecture: 75, payload: new TextEncoder().encode(EMPTY_KERNEL) }]),
    /PTX without an end/,
  ],
];

const WRONG: readonly (readonly [what: string, value: unknown, words: RegExp])[] = [
  ['an empty string', '', /must not be empty/],
  ['[IV-005] a string with a null character', 'a\0b', /null characters/],
  ['a string of more than 64 MiB', ' '.repeat(64 * MIB + 1), /at most 64 MiB/],
  ['more than 64 MiB', new Uint8Array(64 * MIB + 1), /at most 64 MiB/],
  ['a number', 7, /must be PTX text or a Uint8Array/],
  ['null', null, /must be PTX text or a Uint8Array/],
  ['an ArrayBuffer', small.slice().buffer, /must be PTX text or a Uint8Array/],
  ['a DataView', new DataView(small.slice().buffer), /must be PTX text or a Uint8Array/],
  ['words', new Uint32Array(small.slice().buffer), /must be PTX text or a Uint8Array/],
  ['an array of numbers', [...small], /must be PTX text or a Uint8Array/],
];

describeCuda('cuda: machine code', (bed) => {
  const { addon, emulator } = bed;
  const folder = mkdtempSync(join(tmpdir(), 'vram-machine-code-'));
  let files = 0;
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function file(bytes: Uint8Array): string {
    const path = join(folder, `${files++}.fatbin`);
    writeFileSync(path, bytes);
    return path;
  }

  /** Runs with the variable set to `value`. */
  async function withVariable<T>(value: string, work: () => Promise<T>): Promise<T> {
    const before = process.env[VARIABLE];
    process.env[VARIABLE] = value;
    try {
      return await work();
    } finally {
      if (before === undefined) delete process.env[VARIABLE];
      else process.env[VARIABLE] = before;
    }
  }

  it('the addon refuses every container whose sizes lie, before the driver sees it', async () => {
    emulator.reset();
    const device = await addon.open(await addon.load(bed.libraryPath), 0, 4096);
    for (const [what, bytes, words] of HOSTILE) {
      expect(() => addon.loadModule(device, bytes), what).toThrowError(words);
      expect(() => addon.loadModule(device, bytes), what).toThrowError(
        expect.objectContaining({ code: 'ARGUMENT' }),
      );
    }
    expect(emulator.calls()['cuModuleLoadDataEx']).toBeUndefined();
    await addon.close(device);
  });

  it.each(WRONG)('the addon refuses %s', async (_, value, words) => {
    emulator.reset();
    const device = await addon.open(await addon.load(bed.libraryPath), 0, 4096);
    expect(() => Reflect.apply(addon.loadModule, addon, [device, value])).toThrowError(words);
    expect(emulator.calls()['cuModuleLoadDataEx']).toBeUndefined();
    await addon.close(device);
  });

  it('what was given is copied: its bytes may change, and its memory may go, before the driver reads', async () => {
    emulator.reset();
    const device = await addon.open(await addon.load(bed.libraryPath), 0, 4096);
    const wiped = small.slice();
    const gone = small.slice();
    const modules = [addon.loadModule(device, wiped), addon.loadModule(device, gone)];
    wiped.fill(0);
    structuredClone(gone, { transfer: [gone.buffer] });
    for (const module of await Promise.all(modules))
      await addon.launch(module, 'nothing', [1, 1, 1], [1, 1, 1], []);
    await addon.synchronize(device);
    await addon.close(device);
    expect(emulator.liveAllocations().total).toBe(0);
  });

  it('a fat binary seals, verifies, finds a flipped bit and heals; the device tells its form and SHA-256', async () => {
    const bytes = fatbin([elf, ptxEntry(shipped)]);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    emulator.reset();
    const device = await bed.backend({ kernelsPath: file(bytes) }).open(0, { drills: true });
    expect(device.info.driver).toContain(`, kernels fat binary sha256:${sha256}`);
    await managerWork(device, bed);
    await device.close();
    expect(emulator.liveAllocations().total).toBe(0);
  });

  it('the variable names one; `ptx`, or no file by name, goes before it', async () => {
    const path = file(fatbin([ptxEntry(shipped)]));
    const drivers = await withVariable(path, async () => {
      emulator.reset();
      const backends = [bed.backend(), bed.backend({ ptx: shipped }), bed.backend({ kernelsPath: null })];
      return await Promise.all(backends.map(async (backend) => (await backend.list())[0]?.driver));
    });
    const sha256 = createHash('sha256').update(shipped).digest('hex');
    expect(drivers[0]).toMatch(/, kernels fat binary sha256:/);
    expect(drivers[1]).toContain(`, kernels PTX sha256:${sha256}`);
    expect(drivers[2]).toBe(drivers[1]);
    const [unset] = await withVariable('', () => bed.backend().list());
    expect(unset?.driver).toBe(drivers[1]);
  });

  it('[CI-011] one changed byte of the PTX within: the known answers refuse it at open', async () => {
    const K0 = String(0x428a2f98);
    expect(shipped).toContain(K0);
    const bytes = fatbin([ptxEntry(shipped.replace(K0, String(0x428a2f99)))]);
    emulator.reset();
    await expect(bed.backend({ kernelsPath: file(bytes) }).open(0)).rejects.toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringContaining('known-answer test'),
    });
    expect(emulator.liveAllocations().total).toBe(0);
  });

  it('a file that is not there, is none, or is not a fat binary: the variable is told, and not the path', async () => {
    const large = file(small);
    truncateSync(large, 64 * MIB + 1);
    const directory = join(folder, 'directory');
    mkdirSync(directory);
    const cases: readonly (readonly [string, RegExp])[] = [
      [join(folder, 'missing'), /could not be read \(ENOENT\)/],
      [directory, /is not a regular file/],
      ['/dev/null', /is not a regular file/],
      [large, /at most 67108864/],
      [file(new Uint8Array(0)), /is not a CUDA fat binary/],
      [file(small.slice(0, 3)), /is not a CUDA fat binary/],
      [file(new TextEncoder().encode(shipped)), /is not a CUDA fat binary/],
    ];
    for (const [path, words] of cases) {
      await withVariable(path, async () => {
        emulator.reset();
        const backend = bed.backend();
        expect(await backend.list()).toEqual([]);
        const message = (await backend.problem())?.message ?? '';
        expect(message).toMatch(words);
        expect(message).toContain(VARIABLE);
        expect(message).not.toContain(path);
        await expect(backend.open(0)).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE', message });
      });
    }
  });

  it('a truncated file is refused at open, with the name of the variable, and nothing is left behind', async () => {
    const whole = fatbin([ptxEntry(shipped)]);
    for (const length of [4, 16, 100, whole.length - 1]) {
      await withVariable(file(whole.slice(0, length)), async () => {
        emulator.reset();
        await expect(bed.backend().open(0)).rejects.toMatchObject({
          code: 'DEVICE_UNAVAILABLE',
          message: expect.stringMatching(/kernels that VRAM_RESIDENCY_CUDA_KERNELS names .*fat binary is /),
        });
        expect(emulator.calls()['cuModuleLoadDataEx']).toBeUndefined();
        expect(emulator.liveAllocations().total).toBe(0);
      });
    }
  });

  it('nothing for this GPU in it: the driver’s refusal is told', async () => {
    for (const bytes of [fatbin([elf]), fatbin([ptxEntry(shipped, 100)])]) {
      emulator.reset();
      await expect(bed.backend({ kernelsPath: file(bytes) }).open(0)).rejects.toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message: expect.stringMatching(/kernelsPath names .*CUDA_ERROR_NO_BINARY_FOR_GPU/),
      });
      expect(emulator.liveAllocations().total).toBe(0);
    }
  });

  it('a file that was mended is taken at the next call', async () => {
    const path = file(new Uint8Array(8));
    emulator.reset();
    const backend = bed.backend({ kernelsPath: path });
    expect(await backend.list()).toEqual([]);
    writeFileSync(path, fatbin([ptxEntry(shipped)]));
    expect(await backend.list()).toHaveLength(1);
    expect(await backend.problem()).toBeNull();
  });
});

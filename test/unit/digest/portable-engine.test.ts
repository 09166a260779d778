import { afterEach, describe, expect, it, vi } from 'vitest';
import { toHex } from '../../../src/base/hex.js';
import { createFlatHash, createPortableEngine, type DigestEngine } from '../../../src/digest/index.js';
import { WasmKernel } from '../../../src/digest/wasm/index.js';
import { wasmRefused } from '../../../src/digest/wasm-refused.js';
import { xorshiftBytes } from '../../support/xorshift.js';
import { sha256 } from './engines.js';

const BYTES = xorshiftBytes(4, 300_000);

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

/** WebAssembly instances made while `work` runs. */
async function instances(work: () => Promise<unknown>): Promise<number> {
  const instantiate = vi.spyOn(WebAssembly, 'instantiate');
  await work();
  const { length } = instantiate.mock.calls;
  instantiate.mockRestore();
  return length;
}

function start(engine: DigestEngine) {
  return engine.start({ byteLength: BYTES.length, sha256: true, keep: 'root' });
}

async function digest(engine: DigestEngine): Promise<void> {
  const stream = start(engine);
  await stream.update(BYTES);
  expect((await stream.finish()).sha256).toBe(toHex(sha256(BYTES)));
}

describe('instances of the WASM engine', () => {
  it('are used again: after an end, an abort and a stream of a wrong length', async () => {
    const engine = createPortableEngine('wasm');
    const work = async () => {
      await digest(engine);
      await engine.sha256(BYTES);
      const aborted = start(engine);
      await aborted.update(BYTES);
      aborted.abort();
      await new Promise((resolve) => setImmediate(resolve));
      await engine.leaves(BYTES);
      const short = start(engine);
      await short.update(BYTES.subarray(1));
      await expect(short.finish()).rejects.toMatchObject({ code: 'SOURCE_MISMATCH' });
      await digest(engine);
    };
    expect(await instances(work)).toBe(1);
  });

  it('are four at most that wait for work, and none after close()', async () => {
    const engine = createPortableEngine('wasm');
    const atOnce = (count: number) => async () => {
      const streams = Array.from({ length: count }, () => start(engine));
      await Promise.all(streams.map((stream) => stream.update(BYTES)));
      for (const stream of streams) await stream.finish();
    };
    expect(await instances(atOnce(6))).toBe(6);
    expect(await instances(atOnce(6))).toBe(2);
    await engine.close();
    expect(await instances(atOnce(1))).toBe(1);
  });

  it('keep nothing of a result: it stays what it was', async () => {
    const engine = createPortableEngine('wasm');
    const first = await engine.sha256(BYTES);
    const stream = start(engine);
    await stream.update(BYTES);
    const { root } = await stream.finish();
    const before = [toHex(first), toHex(root)];
    await engine.sha256(xorshiftBytes(5, 10));
    await engine.leaves(xorshiftBytes(6, 10_000));
    const other = engine.start({ byteLength: 10_000, sha256: true, keep: 'root' });
    await other.update(xorshiftBytes(7, 10_000));
    await other.finish();
    expect([toHex(first), toHex(root)]).toEqual(before);
  });
});

it('goes on after a chunk that is not bytes, with what came before it', async () => {
  for (const name of ['wasm', 'hash-wasm'] as const) {
    const stream = start(createPortableEngine(name));
    await stream.update(BYTES.subarray(0, 70_000));
    await expect(Reflect.apply(stream.update, stream, ['a'])).rejects.toMatchObject({ argument: 'chunk' });
    await stream.update(BYTES.subarray(70_000));
    expect((await stream.finish()).sha256).toBe(toHex(sha256(BYTES)));
  }
});

describe('createFlatHash', () => {
  it.each(['wasm', 'hash-wasm'])('hashes with %s', async (name) => {
    if (name === 'hash-wasm') vi.spyOn(WebAssembly, 'validate').mockReturnValue(false);
    const create = vi.spyOn(WasmKernel, 'create');
    const hash = await createFlatHash();
    for (let at = 0; at < BYTES.length; at += 70_000) hash.update(BYTES.subarray(at, at + 70_000));
    expect(toHex(hash.digest())).toBe(toHex(sha256(BYTES)));
    expect(create).toHaveBeenCalledTimes(name === 'wasm' ? 1 : 0);
  });
});

describe('what is refused in words', () => {
  it('is an engine that cannot run here', () => {
    vi.spyOn(WebAssembly, 'validate').mockReturnValue(false);
    expect(() => createPortableEngine('wasm')).toThrow(
      '"engine" wasm needs WebAssembly SIMD, which this platform lacks',
    );
  });

  it('are more hashes than memory can hold', async () => {
    const engine = createPortableEngine('wasm');
    const stream = engine.start({ byteLength: 2 ** 52, sha256: false, keep: 'leaves' });
    await expect(stream.update(BYTES)).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'keep',
      message: '"keep" asks for 1099511627776 hashes, more than memory can hold',
    });
  });

  it('are requests and hashes of a wrong form', async () => {
    const engine = createPortableEngine('wasm');
    const request = { byteLength: 1, sha256: 'yes', keep: 'root' };
    expect(() => Reflect.apply(engine.start, engine, [request])).toThrow('"sha256" must be true or false');
    await expect(engine.nodes(new Uint8Array(33))).rejects.toThrow(
      '"hashes" must be a multiple of 32 bytes, got 33',
    );
    await expect(Reflect.apply(engine.nodes, engine, ['a'])).rejects.toMatchObject({ argument: 'hashes' });
  });
});

describe('a module that cannot be run', () => {
  /** An engine whose module was not compiled yet, and what it fails with. */
  async function fresh() {
    vi.resetModules();
    const engine = (await import('../../../src/digest/index.js')).createPortableEngine('wasm');
    return {
      engine,
      failure: () =>
        engine.sha256(BYTES).then(
          () => null,
          (error: unknown) => error,
        ),
    };
  }

  const refused = (message: string) =>
    expect.objectContaining({ code: 'DEVICE_UNAVAILABLE', message: expect.stringContaining(message) });

  it('is refused with the reason, and compiled anew the next time', async () => {
    const { engine, failure } = await fresh();
    const cause = new WebAssembly.CompileError('blocked');
    const compile = vi.spyOn(WebAssembly, 'compile').mockRejectedValue(cause);
    expect(await failure()).toMatchObject({ cause });
    expect(await failure()).toEqual(refused('could not be compiled'));
    const validate = vi.spyOn(WebAssembly, 'validate').mockReturnValue(false);
    expect(await failure()).toEqual(refused('WebAssembly with SIMD is not available on this platform'));
    expect(await failure()).toMatchObject({ cause });
    validate.mockRestore();
    vi.stubGlobal('WebAssembly', undefined);
    expect(await failure()).toEqual(refused('this platform has no WebAssembly'));
    vi.unstubAllGlobals();
    compile.mockRestore();
    expect(await engine.sha256(BYTES)).toEqual(sha256(BYTES));
  });

  it('is refused where there is no room for an instance, or the module is not the one that was built', async () => {
    const { failure } = await fresh();
    const instantiate = vi.spyOn(WebAssembly, 'instantiate');
    instantiate.mockRejectedValueOnce(new RangeError('no memory'));
    expect(await failure()).toEqual(refused('no memory for one more WebAssembly instance'));
    for (const [exports, name] of [
      [{}, 'memory'],
      [{ memory: 1 }, 'memory'],
      [{ memory: new WebAssembly.Memory({ initial: 1 }) }, 'staging'],
      [{ memory: new WebAssembly.Memory({ initial: 1 }), staging: 1 }, 'staging'],
    ] as const) {
      Reflect.apply(instantiate.mockResolvedValueOnce, instantiate, [{ exports }]);
      expect(await failure()).toEqual(refused(`the WebAssembly module has no "${name}": build it again`));
    }
  });

  it('is not chosen', () => {
    vi.stubGlobal('WebAssembly', undefined);
    expect(createPortableEngine().name).toBe('hash-wasm');
  });
});

describe('wasmRefused', () => {
  it('keeps an error of the library, and names the cause of others', () => {
    const cause = new WebAssembly.CompileError('blocked');
    const refused = wasmRefused(cause);
    expect(refused).toMatchObject({ code: 'DEVICE_UNAVAILABLE', cause });
    expect(refused.message).toBe(
      "WebAssembly could not be compiled; in a page, the content security policy has to allow 'wasm-unsafe-eval' " +
        'in script-src',
    );
    expect(wasmRefused(refused)).toBe(refused);
    expect(wasmRefused(new RangeError('no memory')).message).toBe(
      'no memory for one more WebAssembly instance; where addresses are limited (ulimit -v), raise the limit, or in ' +
        'Node set NODE_OPTIONS=--disable-wasm-trap-handler',
    );
    vi.stubGlobal('WebAssembly', undefined);
    expect(wasmRefused(cause).message).toBe('this platform has no WebAssembly');
  });
});

import { afterEach, describe, expect, it, vi } from 'vitest';
import { hostBackend } from '../../../src/device/host/index.js';
import { HashWasmEngine } from '../../../src/digest/hash-wasm/engine.js';
import { WasmEngine } from '../../../src/digest/index.js';
import { failure, openHost } from '../manager/fixture.js';

const POLICY =
  /could not be compiled; in a page, the content security policy has to allow 'wasm-unsafe-eval'/;
/** As Chromium puts it. */
const blocked = (): Error =>
  new WebAssembly.CompileError(
    'WebAssembly.compile(): Compiling or instantiating WebAssembly module violates the following Content Security ' +
      "policy directive because neither 'wasm-eval' nor 'unsafe-eval' is an allowed source of script in script-src 'self'",
  );

/** The steps build on each other: what was compiled once in this process is kept, so the failures come first. */
describe('WebAssembly that may not be compiled', () => {
  afterEach(() => {
    vi.restoreAllMocks();
    vi.unstubAllGlobals();
  });

  it('is what opening the host device says, and not a lack of memory', async () => {
    const cause = blocked();
    vi.spyOn(WebAssembly, 'compile').mockRejectedValue(cause);
    const error = await failure(hostBackend().open(0));
    expect(error).toMatchObject({ code: 'DEVICE_UNAVAILABLE', message: expect.stringMatching(POLICY) });
    expect(error.message).not.toMatch(/bytes; release|smaller/);
    expect(error.cause).toMatchObject({ code: 'DEVICE_UNAVAILABLE', cause });
  });

  it('is what opening a manager says', async () => {
    vi.spyOn(WebAssembly, 'compile').mockRejectedValue(blocked());
    expect(await failure(openHost())).toMatchObject({ message: expect.stringMatching(POLICY) });
  });

  it('is what either engine says', async () => {
    vi.spyOn(WebAssembly, 'compile').mockRejectedValue(blocked());
    for (const engine of [new WasmEngine(), new HashWasmEngine()]) {
      const bytes = new Uint8Array(1);
      const said = { code: 'DEVICE_UNAVAILABLE', message: expect.stringMatching(POLICY) };
      expect(await failure(engine.sha256(bytes))).toMatchObject(said);
      const stream = engine.start({ byteLength: 1, sha256: true, keep: 'root' });
      expect(await failure(stream.update(bytes).then(() => stream.finish()))).toMatchObject(said);
      stream.abort();
      await engine.close();
    }
  });

  it('is told from code that the platform does not know, from no memory and from no WebAssembly', async () => {
    const engine = new WasmEngine();
    const message = async (): Promise<string> => (await failure(engine.sha256(new Uint8Array(1)))).message;
    const compile = vi.spyOn(WebAssembly, 'compile').mockRejectedValue(blocked());
    const validate = vi.spyOn(WebAssembly, 'validate').mockReturnValue(false);
    expect(await message()).toBe('WebAssembly with SIMD is not available on this platform');
    validate.mockRestore();
    compile.mockRejectedValue(new RangeError('Out of memory'));
    expect(await message()).toContain(
      'no memory for one more WebAssembly instance; where addresses are limited',
    );
    compile.mockRestore();
    vi.stubGlobal('WebAssembly', undefined);
    expect(await message()).toBe('this platform has no WebAssembly');
  });

  it('is tried again the next time', async () => {
    const instantiate = vi
      .spyOn(WebAssembly, 'instantiate')
      .mockRejectedValue(new RangeError('Out of memory'));
    expect(await failure(hostBackend().open(0))).toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringContaining('no memory for one more WebAssembly instance'),
    });
    instantiate.mockRestore();
    // That the npm package hash-wasm keeps its failure is its own affair.
    expect(await new WasmEngine().sha256(new Uint8Array(1))).toHaveLength(32);
    const device = await hostBackend().open(0);
    await device.close();
  });
});

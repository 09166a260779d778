import { afterEach, describe, expect, it } from 'vitest';
import { isVramError } from '../../../../src/index.js';
import { dawnGpu } from '../../../../src/node/devices/index.js';
import { withGpuGlobals } from '../../../../src/node/onnxruntime/index.js';

const missing = await dawnGpu().then(
  () => null,
  (error: unknown) => (isVramError(error) ? error.message : String(error)),
);
const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');

/** Everything that the global object has of WebGPU, and its navigator. */
function globals(): Readonly<Record<string, PropertyDescriptor | undefined>> {
  const names = Object.getOwnPropertyNames(globalThis).filter((name) => name.startsWith('GPU'));
  return Object.fromEntries(
    ['navigator', ...names].map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]),
  );
}

describe('[EN-005] globals of a page, for the making of a session', () => {
  if (missing !== null) {
    it.skip(`NOT RUN: ${missing}`);
    return;
  }

  afterEach(() => {
    if (before === undefined) Reflect.deleteProperty(globalThis, 'navigator');
    else Object.defineProperty(globalThis, 'navigator', before);
  });

  it('are there for the work alone, and give the GPU that devices are opened through', async () => {
    const outside = globals();
    const inside = await withGpuGlobals(async () => ({ ...globals(), gpu: navigator.gpu }));
    expect(inside.gpu).toBe(await dawnGpu());
    expect(Object.keys(inside)).toEqual(expect.arrayContaining(['GPUDevice', 'GPUBuffer', 'GPUAdapter']));
    expect(globals()).toEqual(outside);
  });

  it('are gone when the work has failed, which fails in its own way', async () => {
    const outside = globals();
    const failure = new Error('no session');
    await expect(withGpuGlobals(() => Promise.reject(failure))).rejects.toBe(failure);
    await expect(
      withGpuGlobals(() => {
        throw failure;
      }),
    ).rejects.toBe(failure);
    expect(globals()).toEqual(outside);
  });

  it('give back what was there, a getter as a getter', async () => {
    const own = { userAgent: 'a program of its own' };
    const getter: PropertyDescriptor = { get: () => own, configurable: true, enumerable: true };
    Object.defineProperty(globalThis, 'navigator', getter);
    await withGpuGlobals(async () => {
      expect(navigator).not.toBe(own);
    });
    expect(Object.getOwnPropertyDescriptor(globalThis, 'navigator')).toMatchObject(getter);
    expect(navigator).toBe(own);
  });

  it('are one work at a time: the next one starts when they are as before', async () => {
    const outside = globals();
    let working = 0;
    const work = async (): Promise<number> => {
      working += 1;
      const atOnce = working;
      await new Promise((resolve) => setTimeout(resolve, 5));
      working -= 1;
      return atOnce;
    };
    expect(await Promise.all([1, 2, 3].map(() => withGpuGlobals(work)))).toEqual([1, 1, 1]);
    expect(globals()).toEqual(outside);
  });
});

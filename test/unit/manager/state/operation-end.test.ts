import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import { type Core, terminationReason } from '../../../../src/manager/state/core.js';
import { Lifecycle } from '../../../../src/manager/state/lifecycle.js';

describe('what an operation ends with', () => {
  const aborted = new VramError('ABORTED', 'aborted');
  const other = new VramError('NOT_FOUND', 'other');
  const foreign = new Error('foreign');
  const fired = AbortSignal.abort();
  const { signal } = new AbortController();

  it('is its own error while the manager serves', () => {
    const core = { lifecycle: new Lifecycle() } as unknown as Core;
    for (const error of [aborted, other, foreign]) {
      for (const given of [undefined, signal, fired])
        expect(terminationReason(core, given, error)).toBe(error);
    }
  });

  it('is the end of the manager where nobody else aborted it', () => {
    const lifecycle = new Lifecycle();
    lifecycle.lose('it fell off');
    const core = { lifecycle } as unknown as Core;
    const lost = { code: 'DEVICE_LOST', message: 'the device is lost: it fell off' };
    expect(terminationReason(core, undefined, aborted)).toMatchObject(lost);
    expect(terminationReason(core, signal, aborted)).toMatchObject(lost);
    expect(terminationReason(core, fired, aborted)).toBe(aborted);
    for (const error of [other, foreign]) expect(terminationReason(core, undefined, error)).toBe(error);
  });
});

import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import { readAnswer } from '../../../../src/node/devices/cuda/probe.js';

describe('the answer of the store probe', () => {
  it('is taken as it was printed', () => {
    expect(readAnswer('{"outcome":"faulted","detail":"refused"}\n')).toEqual({
      outcome: 'faulted',
      detail: 'refused',
    });
  });

  it.each(['', 'a driver wrote this\n', '{"outcome":"faulted"', 'null', '{"outcome":"fine","detail":""}'])(
    '%j is none, and the device counts as unavailable',
    (printed) => {
      expect(() => readAnswer(printed)).toThrow(VramError);
      expect(() => readAnswer(printed)).toThrow(expect.objectContaining({ code: 'DEVICE_UNAVAILABLE' }));
    },
  );
});

import { describe, expect, it } from 'vitest';
import { checkToken } from '../../../src/base/token.js';
import { refusal } from '../../support/refusal.js';

describe('a worker token', () => {
  it.each<[string, unknown, string]>([
    ['15 bytes', new Uint8Array(15).fill(1), '"token" must be at least 16 bytes'],
    [
      'zeros',
      new Uint8Array(16),
      '"token" must not be all zero (a token is zeroed once its keys are derived: give a fresh copy)',
    ],
    ['text', 'a token', '"token" must be a Uint8Array, got string'],
  ])('is not %s', async (_, token, problem) => {
    expect(await refusal(() => checkToken('token', token))).toBe(`INVALID_INPUT: ${problem}`);
  });

  it('is 16 bytes of which one is not zero, or more', () => {
    const token = new Uint8Array(16);
    token[15] = 1;
    expect(checkToken('token', token)).toBe(token);
  });
});

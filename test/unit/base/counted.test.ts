import { expect, it } from 'vitest';
import { counted } from '../../../src/base/index.js';

it('adds an s for every count but one', () => {
  expect([0, 1, 2].map((count) => counted(count, 'block'))).toEqual(['0 blocks', '1 block', '2 blocks']);
});

import { describe, expect, it } from 'vitest';
import { Fences } from '../../../src/worker/http/fences.js';

describe('fences', () => {
  it('let an epoch pass as often as it comes, and none below it', () => {
    const fences = new Fences();
    fences.check('store:placement:7');
    fences.check('store:placement:7');
    expect(() => fences.check('store:placement:6')).toThrow(
      expect.objectContaining({ code: 'STALE_EPOCH', message: 'epoch 6 is over: 7 was seen' }),
    );
    fences.check('store:placement:8');
    expect(() => fences.check('store:placement:7')).toThrow(expect.objectContaining({ code: 'STALE_EPOCH' }));
  });

  it('are one for each placement of each store', () => {
    const fences = new Fences();
    fences.check('a:p:7');
    fences.check('a:q:1');
    fences.check('b:p:1');
    expect(() => fences.check('a:p:1')).toThrow(expect.objectContaining({ code: 'STALE_EPOCH' }));
  });

  const longest = 'x'.repeat(64);
  it.each([`${longest}:${longest}:0`, `A_-9:z:${'9'.repeat(15)}`])('take %j', (fence) => {
    new Fences().check(fence);
  });

  it.each([
    '',
    'store:1',
    'store:placement:',
    ':placement:1',
    'store::1',
    'store:placement:-1',
    'store:placement:1.5',
    'store:placement:1 ',
    ' store:placement:1',
    'store:placement:1\n',
    'other:store:placement:1',
    'store:place ment:1',
    `${longest}x:p:1`,
    `s:${longest}x:1`,
    `s:p:${'9'.repeat(16)}`,
  ])('refuse %j', (fence) => {
    expect(() => new Fences().check(fence)).toThrow(
      expect.objectContaining({
        code: 'INVALID_INPUT',
        message: '"X-Fence" must be storeId:placementId:epoch',
      }),
    );
  });

  it('remember the 10,000 placements that were heard of last', () => {
    const fences = new Fences();
    for (let number = 0; number < 10_000; number++) fences.check(`s:p${number}:5`);
    // The first one is heard of again, so the second one is the oldest.
    fences.check('s:p0:5');
    expect(() => fences.check('s:p1:4')).toThrow(expect.objectContaining({ code: 'STALE_EPOCH' }));
    fences.check('s:new:5');
    expect(() => fences.check('s:p0:4')).toThrow(expect.objectContaining({ code: 'STALE_EPOCH' }));
    expect(() => fences.check('s:p2:4')).toThrow(expect.objectContaining({ code: 'STALE_EPOCH' }));
    fences.check('s:p1:4');
  });
});

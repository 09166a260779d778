import { describe, expect, it } from 'vitest';
import { isCallersTraceparent, parseTraceparent } from '../../../src/base/index.js';
import { bytesSource } from '../../../src/source/index.js';
import { failure, openHost, pattern } from '../manager/fixture.js';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';

const SPAN_ID = 'b7ad6b7169203331';

const GOOD = `00-${TRACE_ID}-${SPAN_ID}-01`;

const ELSE = ['', 'garbage', `x${GOOD}`, `${GOOD}x`, `${GOOD}\n`, GOOD.toUpperCase(), GOOD.slice(1)];

const RECORDED_ALONE = [
  `01-${TRACE_ID}-${SPAN_ID}-01`,
  `00-${'0'.repeat(32)}-${SPAN_ID}-01`,
  `00-${TRACE_ID}-${'0'.repeat(16)}-01`,
];

describe('a trace parent', () => {
  it('is W3C’s of version 00, to its last character', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(5)));
    const traceId = 'ab'.repeat(16);
    const good = `00-${traceId}-${'0'.repeat(15)}1-01`;
    await manager.verify(shard, { traceparent: good });
    expect(recorder.of('seal.verified').at(-1)?.traceparent).toBe(good);
    for (const traceparent of [
      `${good}0`,
      ` ${good}`,
      `01${good.slice(2)}`,
      `00-${traceId}-${'0'.repeat(16)}-01`,
      `00-${'0'.repeat(32)}-${'1'.repeat(16)}-01`,
    ]) {
      expect(await failure(manager.verify(shard, { traceparent })), traceparent).toMatchObject({
        code: 'INVALID_INPUT',
        message: '"traceparent" must be a W3C traceparent of version 00',
      });
    }
    await manager.close();
  });
});

describe('a traceparent', () => {
  it('gives its fields', () => {
    expect(parseTraceparent(GOOD)).toEqual({ traceId: TRACE_ID, spanId: SPAN_ID, flags: '01' });
    expect(isCallersTraceparent(GOOD)).toBe(true);
    expect(isCallersTraceparent(`00-${'0'.repeat(31)}a-${'0'.repeat(15)}b-00`)).toBe(true);
  });

  it.each(ELSE)('is not %j', (text) => {
    expect(parseTraceparent(text)).toBeNull();
    expect(isCallersTraceparent(text)).toBe(false);
  });

  it.each(RECORDED_ALONE)('may be %j in a record, but not from a caller', (text) => {
    expect(parseTraceparent(text)).not.toBeNull();
    expect(isCallersTraceparent(text)).toBe(false);
  });

  it('is null, undefined or an array of one neither in a record nor from a caller', () => {
    expect(parseTraceparent(null)).toBeNull();
    for (const value of [null, undefined, [GOOD]]) expect(isCallersTraceparent(value)).toBe(false);
  });
});

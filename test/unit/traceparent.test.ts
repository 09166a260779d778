import { describe, expect, it } from 'vitest';
import { isCallersTraceparent, parseTraceparent } from '../../src/base/index.js';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const SPAN_ID = 'b7ad6b7169203331';
const GOOD = `00-${TRACE_ID}-${SPAN_ID}-01`;

const ELSE = ['', 'garbage', `x${GOOD}`, `${GOOD}x`, `${GOOD}\n`, GOOD.toUpperCase(), GOOD.slice(1)];
const RECORDED_ALONE = [
  `01-${TRACE_ID}-${SPAN_ID}-01`,
  `00-${'0'.repeat(32)}-${SPAN_ID}-01`,
  `00-${TRACE_ID}-${'0'.repeat(16)}-01`,
];

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

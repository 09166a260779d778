import { describe, expect, it } from 'vitest';
import { AnnouncedLength } from '../../../src/digest/announced-length.js';

const coded = (code: string, message: string) =>
  expect.objectContaining({ name: 'VramError', code, message });
const ABORTED = coded('ABORTED', 'the digest was aborted');

describe('the length that a stream of a digest announced', () => {
  it('is what has to come, and the end comes once', () => {
    const announced = new AnnouncedLength(10);
    announced.add(new Uint8Array(4));
    announced.add(new Uint8Array(6));
    announced.end();
    const over = coded('INVALID_INPUT', '"stream" has been finished: start a new one');
    expect(() => announced.add(new Uint8Array())).toThrow(over);
    expect(() => announced.end()).toThrow(over);
    expect(announced.aborted).toBe(false);
    announced.checkNotAborted();
    announced.abort();
    expect(() => announced.checkNotAborted()).toThrow(ABORTED);
  });

  it('is refused where more comes, and then is over', () => {
    const announced = new AnnouncedLength(10);
    announced.add(new Uint8Array(7));
    expect(() => announced.add(new Uint8Array(4))).toThrow(
      coded('SOURCE_MISMATCH', 'more than the announced 10 bytes came: at least 11'),
    );
    expect(announced.aborted).toBe(true);
    expect(() => announced.add(new Uint8Array())).toThrow(ABORTED);
  });

  it('is refused where less comes, and then is over', () => {
    const announced = new AnnouncedLength(10);
    announced.add(new Uint8Array(7));
    expect(() => announced.end()).toThrow(coded('SOURCE_MISMATCH', '7 bytes came, 10 were announced'));
    expect(announced.aborted).toBe(true);
    expect(() => announced.end()).toThrow(ABORTED);
  });

  it('is not over for a chunk that is not bytes', () => {
    const announced = new AnnouncedLength(1);
    expect(() => Reflect.apply(announced.add, announced, ['a'])).toThrow(
      expect.objectContaining({ code: 'INVALID_INPUT', argument: 'chunk' }),
    );
    announced.add(new Uint8Array(1));
    announced.end();
  });
});

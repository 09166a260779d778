import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type SseEvent, SseReader } from '../../../src/base/index.js';

const tooLong = (): Error => new Error('too long');

function read(pieces: readonly string[], mostCharacters = 1_000): SseEvent[] {
  const reader = new SseReader({ mostCharacters, tooLong });
  return pieces.flatMap((piece) => [...reader.push(piece)]);
}

describe('a stream of server-sent events', () => {
  it.each<[string, SseEvent[]]>([
    ['data: a\n\n', [{ event: null, data: 'a' }]],
    ['data:a\r\n\r\n', [{ event: null, data: 'a' }]],
    ['data: a\r\r:', [{ event: null, data: 'a' }]],
    ['event: x\nid: 7\nretry: 1\ndata: a\ndata:\ndata:  b\n\n', [{ event: 'x', data: 'a\n\n b' }]],
    [': comment\n\nevent: lost\n\ndata\n\n', [{ event: null, data: '' }]],
    [
      'event: x\ndata: a\n\ndata: b\n\n',
      [
        { event: 'x', data: 'a' },
        { event: null, data: 'b' },
      ],
    ],
    ['data: not ended\n', []],
  ])('%j is read as the standard says', (text, events) => {
    expect(read([text])).toEqual(events);
  });

  it('is the same wherever it is cut', () => {
    const line = fc.constantFrom(
      'data: a',
      'data:b',
      'data',
      'event: x',
      ': c',
      'id: 1',
      '',
      '',
      'data: \u{1f600}:',
    );
    const lines = fc.array(fc.tuple(line, fc.constantFrom('\n', '\r', '\r\n')), { maxLength: 20 });
    fc.assert(
      fc.property(lines, fc.array(fc.nat(200), { maxLength: 6 }), (made, cuts) => {
        // Behind a CR at the very end more may come, so the text ends with something else.
        const text = `${made.map(([one, end]) => one + end).join('')}:`;
        const at = [0, ...cuts.map((cut) => Math.min(cut, text.length)), text.length].sort((a, b) => a - b);
        const pieces = at.slice(1).map((end, index) => text.slice(at[index], end));
        expect(read(pieces)).toEqual(read([text]));
      }),
    );
  });

  it('may have events of so many characters, in one line or in several, and no more', () => {
    for (const text of [`data:${'x'.repeat(99)}\n\n`, 'data:x\n'.repeat(50)]) {
      expect(() => read([text], 100)).not.toThrow();
      expect(() => read([text], 98)).toThrow('too long');
    }
    expect(() => read([': ', 'x'.repeat(101)], 100)).toThrow('too long');
    // What was passed on counts no longer.
    expect(
      read(
        Array.from({ length: 100 }, () => 'data: 1234\n\n'),
        20,
      ),
    ).toHaveLength(100);
  });
});

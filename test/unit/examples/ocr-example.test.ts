import { describe, expect, it } from 'vitest';
import { asTerminalLines, drawText, HEIGHT } from '../../../examples/ocr/picture.mjs';
import { decode, readCharacters, toInput } from '../../../examples/ocr/recognise.mjs';

const CHARACTERS = readCharacters('A\nB\n');

/** Scores in which each step is certain of one class. */
function certainOf(...steps: number[]): Float32Array {
  const scores = new Float32Array(steps.length * CHARACTERS.length);
  for (const [step, best] of steps.entries()) scores[step * CHARACTERS.length + best] = 1;
  return scores;
}

describe("the demo's picture", () => {
  it('is dark on light, within its bounds, and empty without letters', () => {
    const { width, height, ink } = drawText('HELLO GPU');
    expect([width, height, ink.length]).toEqual([160, HEIGHT, 160 * HEIGHT]);
    expect(ink.every((value) => value >= 0 && value <= 1)).toBe(true);
    expect(ink.filter((value) => value === 1).length).toBeGreaterThan(500);
    expect(drawText('  ').ink.every((value) => value === 0)).toBe(true);
    expect(asTerminalLines(drawText('  '))).toEqual([]);
  });

  it('names a character that it cannot draw', () => {
    expect(() => drawText('A?')).toThrow('"?"');
  });

  it('goes into the model as three planes from -1 to 1', () => {
    const { data, shape } = toInput(drawText('A'));
    expect(shape).toEqual([1, 3, HEIGHT, 32]);
    expect(data.length).toBe(3 * HEIGHT * 32);
    expect(Math.min(...data)).toBe(-1);
    expect(Math.max(...data)).toBe(1);
  });
});

describe("the demo's reading of the model's output", () => {
  it('drops repeats and steps without a character', () => {
    const read = (...steps: number[]) => decode(certainOf(...steps), [1, steps.length, 4], CHARACTERS).text;
    expect(read(1, 1, 0, 1, 2, 3, 2)).toBe('AAB B');
    expect(read(0, 0)).toBe('');
  });

  it('gives the least certain character, and no text where the numbers are not probabilities', () => {
    const scores = certainOf(1, 2);
    scores[1] = 0.5;
    expect(decode(scores, [1, 2, 4], CHARACTERS)).toEqual({ text: 'AB', confidence: 0.5 });
    scores[3] = Number.NaN;
    expect(decode(scores, [1, 2, 4], CHARACTERS)).toEqual({ text: null, confidence: 0 });
  });

  it('refuses a list of another length than the model has classes', () => {
    expect(() => decode(new Float32Array(10), [1, 2, 5], CHARACTERS)).toThrow('5 classes');
  });
});

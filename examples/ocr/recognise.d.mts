import type { Picture } from './picture.mjs';

export declare function toInput(picture: Picture): { data: Float32Array; shape: number[] };
export declare function readCharacters(text: string): string[];
export declare function decode(
  scores: Float32Array,
  shape: readonly number[],
  characters: readonly string[],
): { text: string | null; confidence: number };

import { invalidInput } from '../../base/index.js';
import type { ModelFormat } from './model-types.js';

const INDEX_SUFFIX = '.safetensors.index.json';
const GGUF_PART = /^(.+)-([0-9]{5})-of-([0-9]{5})\.gguf$/;

/** A part of a split GGUF, by its name. */
export interface GgufPart {
  readonly stem: string;
  /** From 1. */
  readonly number: number;
  readonly count: number;
}

/** Null for other names. */
export function ggufPart(name: string): GgufPart | null {
  const match = GGUF_PART.exec(name);
  if (match === null) return null;
  const [, stem = '', number, count] = match;
  return { stem, number: Number(number), count: Number(count) };
}

export function ggufPartName(stem: string, number: number, count: number): string {
  return `${stem}-${fiveDigits(number)}-of-${fiveDigits(count)}.gguf`;
}

export function isSafetensorsIndex(name: string): boolean {
  return name.endsWith(INDEX_SUFFIX);
}

/** Null where a name does not tell. */
export function formatByName(name: string): Exclude<ModelFormat, 'raw'> | null {
  if (name.endsWith('.safetensors') || isSafetensorsIndex(name)) return 'safetensors';
  if (name.endsWith('.gguf')) return 'gguf';
  if (name.endsWith('.onnx')) return 'onnx';
  return null;
}

/** The name of the one model among the names of a folder. Errors: INVALID_INPUT if there is none, or more than one. */
export function modelAmong(names: readonly string[], format: ModelFormat | 'auto'): string {
  if (format === 'raw') throw invalidInput('path', 'is a directory: name the raw files');
  const wanted = names.filter((name) => format === 'auto' || formatByName(name) === format).sort();
  const indexed = wanted.some(isSafetensorsIndex);
  // An index speaks for the safetensors files beside it, the first part of a split GGUF for all.
  const models = wanted.filter((name) => {
    const known = formatByName(name);
    if (known === 'safetensors') return !indexed || isSafetensorsIndex(name);
    return known !== null && (ggufPart(name)?.number ?? 1) === 1;
  });
  const [model] = models;
  if (model === undefined)
    throw invalidInput('path', 'is a directory without a safetensors, GGUF or ONNX model');
  if (models.length > 1)
    throw invalidInput('path', `is a directory with ${models.length} models: name one of them`);
  return model;
}

function fiveDigits(number: number): string {
  return String(number).padStart(5, '0');
}

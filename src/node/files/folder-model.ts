import { invalidInput } from '../../base/index.js';
import type { ModelFormat } from './model-types.js';

/** Also matches variants: `model.safetensors.index.fp16.json`, `model.fp16.safetensors.index.json`. */
const INDEX = /\.safetensors\.index(\.[\w-]+)?\.json$/i;
const GGUF_PART = /^(.+)-([0-9]{5})-of-([0-9]{5})(\.gguf)$/i;
const MAX_NAMED = 8;

/** A part of a split GGUF, by its name. */
export interface GgufPart {
  /** From 1. */
  readonly number: number;
  readonly count: number;
  /** The name of another part, by its number. */
  readonly nameOf: (number: number) => string;
}

/** Null for other names. */
export function ggufPart(name: string): GgufPart | null {
  const match = GGUF_PART.exec(name);
  if (match === null) return null;
  const [, stem = '', number, count = '', ending = ''] = match;
  const nameOf = (of: number): string => `${stem}-${String(of).padStart(5, '0')}-of-${count}${ending}`;
  return { number: Number(number), count: Number(count), nameOf };
}

export function isSafetensorsIndex(name: string): boolean {
  return INDEX.test(name);
}

/** Null where the name has none. */
export function formatByName(name: string): Exclude<ModelFormat, 'raw'> | null {
  const lower = name.toLowerCase();
  if (lower.endsWith('.safetensors') || isSafetensorsIndex(name)) return 'safetensors';
  if (lower.endsWith('.gguf')) return 'gguf';
  if (lower.endsWith('.onnx')) return 'onnx';
  return null;
}

/** Hidden files are not models; macOS leaves `._NAME` beside every file on volumes of other systems. */
function isHidden(name: string): boolean {
  return name.startsWith('.');
}

/** The name of the one model among the files of a folder. Errors: INVALID_INPUT if there is none, or more than one. */
export function modelAmong(names: readonly string[], format: ModelFormat | 'auto'): string {
  if (format === 'raw') throw invalidInput('path', 'is a directory: name the raw files');
  const requested = names
    .filter((name) => !isHidden(name) && (format === 'auto' || formatByName(name) === format))
    .sort();
  const indexed = requested.some(isSafetensorsIndex);
  // An index stands for the safetensors files beside it, and the first part of a split GGUF for all parts.
  const models = requested.filter((name) => {
    const known = formatByName(name);
    if (known === 'safetensors') return !indexed || isSafetensorsIndex(name);
    return known !== null && (ggufPart(name)?.number ?? 1) === 1;
  });
  const [model] = models;
  if (model === undefined)
    throw invalidInput('path', 'is a directory without a safetensors, GGUF or ONNX model');
  if (models.length > 1)
    throw invalidInput('path', `is a directory with ${models.length} models: name one of ${listed(models)}`);
  return model;
}

/** Safetensors files of an index's folder that it does not name, sorted. */
export function unlistedWeights(names: readonly string[], files: readonly string[]): string[] {
  const listed = new Set(files);
  const isWeights = (name: string): boolean => /\.safetensors$/i.test(name) && !isHidden(name);
  return names.filter((name) => isWeights(name) && !listed.has(name)).sort();
}

function listed(names: readonly string[]): string {
  const some = names.slice(0, MAX_NAMED).map((name) => JSON.stringify(name));
  const rest = names.length - some.length;
  return `${some.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

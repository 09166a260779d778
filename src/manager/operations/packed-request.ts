import { checkInteger, invalidInput, toHex } from '../../base/index.js';
import type { CutLimits } from '../../device/index.js';
import { BLOCK_BYTES, checkDigest } from '../../digest/index.js';
import {
  checkTensorManifest,
  manifestBytes,
  packedLength,
  paddingBytes,
  quoted,
  type TensorManifest,
  type TensorSource,
  tensorIndexAt,
} from '../../models/index.js';
import type { Source } from '../../source/index.js';
import type { Core } from '../state/index.js';

/** Limit of padding where each tensor is a buffer. */
const MAX_PADDING_PERCENT = 5;

/** The additional facts of a seal of tensors. */
export interface PackedRequest {
  /** Where buffers begin. */
  readonly cuts: readonly number[];
  readonly manifest: TensorManifest;
  readonly paddingBytes: number;
  /** Expected digests of the published files, in the manifest's order; null where the caller gave none. */
  readonly expectedFiles: readonly (ExpectedFile | null)[] | null;
}

export interface ExpectedFile {
  readonly algorithm: 'sha256' | 'fsverity';
  readonly hex: string;
}

export function isTensorSource(source: Source): source is TensorSource {
  return 'manifest' in source && source.manifest !== undefined;
}

/**
 * Checks a source's manifest; null for a source without one. Returns a copy that cannot change later.
 * Errors: INVALID_INPUT, naming the argument; on WebGPU also for more or larger buffers than the device supports, and
 * for too much padding.
 */
export function checkPacked(
  core: Core,
  source: Source,
  expectedFiles: readonly (string | null)[] | undefined,
): PackedRequest | null {
  if (!isTensorSource(source)) {
    if (expectedFiles === undefined) return null;
    throw invalidInput('expectedFiles', 'is for a tensor source: a plain source has "expected"');
  }
  const manifest = checkTensorManifest('source.manifest', source.manifest);
  const byteLength = packedLength(manifest);
  if (source.byteLength !== byteLength) {
    throw invalidInput(
      'source',
      `has ${source.byteLength} bytes, but its manifest describes ${byteLength} of them`,
    );
  }
  const request = {
    manifest,
    cuts: checkCuts(source.cuts, manifest),
    paddingBytes: paddingBytes(manifest),
    expectedFiles: checkExpectedFiles(expectedFiles, manifest.files.length),
  };
  const limits = core.device.cutLimits;
  if (limits !== null) requireBufferBounds(request, limits, byteLength, source.minBytes ?? null);
  return request;
}

/** SHA-256 of the manifest's canonical JSON, 64 hex digits. */
export async function manifestDigest(core: Core, manifest: TensorManifest): Promise<string> {
  return toHex(await core.crypto.sha256(manifestBytes(manifest)));
}

/** Each buffer begins where a tensor does. */
function checkCuts(cuts: readonly number[], { tensors }: TensorManifest): readonly number[] {
  if (!Array.isArray(cuts) || cuts[0] !== 0)
    throw invalidInput('source.cuts', 'must be an array that starts with 0');
  let index = 0;
  let previous = -BLOCK_BYTES;
  return Object.freeze(
    cuts.map((cut) => {
      checkInteger('source.cuts', cut, previous + BLOCK_BYTES);
      while ((tensors[index]?.offset ?? cut) < cut) index += 1;
      if (tensors[index]?.offset !== cut)
        throw invalidInput('source.cuts', `has ${cut}, where no tensor begins`);
      previous = cut;
      return cut;
    }),
  );
}

function checkExpectedFiles(
  expected: readonly (string | null)[] | undefined,
  files: number,
): PackedRequest['expectedFiles'] {
  if (expected === undefined) return null;
  if (!Array.isArray(expected) || expected.length !== files) {
    throw invalidInput(
      'expectedFiles',
      `must be an array of ${files} digests or nulls: one for each file of the model`,
    );
  }
  return expected.map((text) => (text === null ? null : checkDigest('expectedFiles', text)));
}

/** Where cuts make buffers: limits of their number, size and padding. */
function requireBufferBounds(
  { cuts, manifest, paddingBytes: padding }: PackedRequest,
  { maxBuffers, maxRunBytes }: CutLimits,
  byteLength: number,
  minBytes: number | null,
): void {
  const advice =
    'give tensorSource() "minBytes", so that smaller tensors share a buffer, or choose tensors with "only"';
  if (cuts.length > maxBuffers) {
    throw invalidInput(
      'source',
      `needs ${cuts.length} buffers, and this device supports ${maxBuffers}: ${advice}`,
    );
  }
  for (const [index, cut] of cuts.entries()) {
    const runBytes = (cuts[index + 1] ?? byteLength) - cut;
    if (runBytes <= maxRunBytes) continue;
    const name = quoted(manifest.tensors[tensorIndexAt(manifest, cut)]?.name ?? '');
    throw invalidInput(
      'source',
      `needs a buffer of ${runBytes} bytes for the tensor ${name}, and a buffer of this device holds ${maxRunBytes}`,
    );
  }
  if (minBytes !== null || padding * 100 <= byteLength * MAX_PADDING_PERCENT) return;
  const percent = ((padding / byteLength) * 100).toFixed(1);
  throw invalidInput(
    'source',
    `would fill ${padding} of ${byteLength} bytes (${percent} %) with padding, more than ${MAX_PADDING_PERCENT} %: ` +
      `${advice}`,
  );
}

import { VramError } from '../../base/index.js';
import type { Region } from '../../device/index.js';
import { fsverityDigest, treeLayout } from '../../digest/index.js';
import type { Core, OperationOptions } from '../state/index.js';

/**
 * The fs-verity digest of device memory, hashed in place, with progress of phase `verify`. Errors: DEVICE_UNAVAILABLE
 * for a run that did not cover all of it; those of `onProgress`.
 */
export async function residentDigest(
  core: Core,
  region: Region,
  { signal, onProgress }: OperationOptions,
): Promise<string> {
  const totalBytes = region.byteLength;
  // A region's callback must not throw: the run completes, and the caller's error is thrown after it.
  const failures: unknown[] = [];
  const report = (bytes: number): void => {
    if (failures.length > 0) return;
    try {
      onProgress?.({ phase: 'verify', bytes, totalBytes });
    } catch (error) {
      failures.push(error);
    }
  };
  const { root, blocks } = await region.root({ signal, onProgress: report });
  if (failures.length > 0) throw failures[0];
  const expected = treeLayout(region.byteLength).blocks;
  if (blocks !== expected) {
    throw new VramError(
      'DEVICE_UNAVAILABLE',
      `the device hashed ${blocks} of ${expected} blocks; the run does not count`,
    );
  }
  return await fsverityDigest(region.byteLength, root, (bytes) => core.crypto.sha256(bytes));
}

export type Verdict = 'equal' | 'transient' | 'different';

/** The verdict of one or two inspections of device memory. */
export interface Measurement {
  readonly verdict: Verdict;
  /** Of the inspection that decided; for a transient mismatch, the one that differed. */
  readonly actual: string;
}

/**
 * Compares a digest of device memory with the expected one; a mismatch is measured once more, in fresh scratch.
 * `onMismatch` is called before the second measurement, so that no execution relies on an older verification meanwhile.
 */
export async function measure(
  expected: string,
  digest: () => Promise<string>,
  onMismatch: () => void,
): Promise<Measurement> {
  const first = await digest();
  if (first === expected) return { verdict: 'equal', actual: first };
  onMismatch();
  const second = await digest();
  if (second === expected) return { verdict: 'transient', actual: first };
  return { verdict: 'different', actual: second };
}

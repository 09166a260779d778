import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { xorshiftBytes } from './xorshift.js';

export interface CliWeights {
  readonly folder: string;
  /** A file of 100,000 bytes in the folder. */
  readonly weights: string;
  /** Of these bytes, 64 hex digits. */
  readonly sha256: string;
}

/** A folder with a file to seal, removed after the tests of the calling file. */
export function cliWeights(): CliWeights {
  const folder = mkdtempSync(join(tmpdir(), 'vram-cli-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const weights = join(folder, 'weights.bin');
  const bytes = xorshiftBytes(7, 100_000);
  writeFileSync(weights, bytes);
  return { folder, weights, sha256: createHash('sha256').update(bytes).digest('hex') };
}

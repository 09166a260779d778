import { describe, expect, it } from 'vitest';
import type { TensorManifest } from '../../../src/models/index.js';
import { SealedShard } from '../../../src/seal/index.js';
import { PAYLOAD, SIGNATURE } from './fixture.js';

describe('a sealed shard', () => {
  it('holds the manifest that it was sealed from, outside of its JSON', () => {
    const manifest = {} as TensorManifest;
    const sealed = new SealedShard(PAYLOAD, SIGNATURE, manifest);
    expect(sealed.manifest).toBe(manifest);
    expect(sealed.toJSON()).toEqual({ ...PAYLOAD, signature: SIGNATURE });
    expect(new SealedShard(PAYLOAD, SIGNATURE).manifest).toBeNull();
  });
});

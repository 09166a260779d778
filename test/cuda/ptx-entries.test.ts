import { describe, expect, it } from 'vitest';
import { entryParameters } from '../../src/device/cuda/ptx-entries.js';
import { ptx } from '../../src/generated/ptx.js';

describe('kernel parameters as PTX declares them', () => {
  it('the shipped kernels: three pointers or counts of 8 bytes and a pattern of 4', () => {
    const text = ptx['vram'] ?? '';
    expect(entryParameters(text, 'vr_leaves')).toEqual([8, 8, 8, 8, 8]);
    expect(entryParameters(text, 'vr_nodes')).toEqual([8, 8, 8, 8, 8]);
    expect(entryParameters(text, 'vr_fill')).toEqual([8, 8, 4]);
  });

  it('entries without parameters, with and without brackets; names that are not there, or only begin alike', () => {
    expect(entryParameters('.visible .entry none()\n{\n\tret;\n}', 'none')).toEqual([]);
    expect(entryParameters('.entry bare\n{\n\tret;\n}', 'bare')).toEqual([]);
    expect(entryParameters('.entry longer(.param .u32 a) {}', 'long')).toBeNull();
    expect(entryParameters('.func (.param .b32 r) helper(.param .b32 x) {}', 'helper')).toBeNull();
    expect(entryParameters('', 'any')).toBeNull();
  });

  it('comments hide what is in them, also an entry of the same name', () => {
    const text =
      '// .entry k(.param .u32 a)\n/* .entry k(\n.param .u32 a) */\n.entry k(.param .u64 a /* , .param .u32 b */)';
    expect(entryParameters(text, 'k')).toEqual([8]);
  });

  it('pointer and alignment attributes are read over', () => {
    const text = '.entry k(.param .u64 .ptr .global .align 16 a, .param .align 4 .f32 b, .param .u64 .ptr c)';
    expect(entryParameters(text, 'k')).toEqual([8, 4, 8]);
  });

  it('arrays and types that are no numbers match no argument', () => {
    const sizes = entryParameters(
      '.entry k(.param .align 8 .b8 a[16], .param .texref t, .param .u32 n)',
      'k',
    );
    expect(sizes?.map((size) => Number.isNaN(size))).toEqual([true, true, false]);
  });
});

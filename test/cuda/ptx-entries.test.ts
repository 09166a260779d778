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

  it('arrays and types that are not numbers match no argument', () => {
    const sizes = entryParameters(
      '.entry k(.param .align 8 .b8 a[16], .param .texref t, .param .u32 n)',
      'k',
    );
    expect(sizes?.map((size) => Number.isNaN(size))).toEqual([true, true, false]);
  });

  it('an entry in a string or a comment is not one, whatever it claims and wherever it stands', () => {
    const real = '.entry k(.param .u64 a)';
    const fake = '.entry k(.param .u32 x)';
    const texts = [
      `.pragma "${fake}";\n${real}`,
      `${real}\n.pragma "${fake}";`,
      `.file 1 "a//b"\n${real}`,
      `.file 1 "/*"\n${real}\n.file 2 "*/"`,
      `// a " in a comment\n${real}\n// and " again`,
      `/* " */ ${real} /* " ${fake} */`,
      `/* // */ ${real}`,
      `// /* ${fake}\n${real}`,
      `.entry/* "${fake} */k /*(*/(.param .u64 /* .u32 */ a)`,
    ];
    for (const text of texts) expect(entryParameters(text, 'k'), text).toEqual([8]);
    expect(entryParameters(`.pragma "${fake}";`, 'k')).toBeNull();
  });

  it('text that a compiler may read in another way is refused', () => {
    const real = '.entry k(.param .u64 a)';
    const texts: readonly (readonly [string, string])[] = [
      [`.pragma "x\\"; ${real}`, 'backslash or a line break in a string'],
      [`.pragma "x\n"; ${real}`, 'backslash or a line break in a string'],
      [`${real} .pragma "x`, 'string without an end'],
      [`${real} /* x`, 'comment without an end'],
      [`// x\\\n${real}`, 'line comment that ends in a backslash'],
      [`// x\\\r\n${real}`, 'line comment that ends in a backslash'],
      [`// x\r${real}`, 'carriage return'],
      [`#define k j\n${real}`, 'preprocessor'],
      [`${real}\n /* x */ #include "x"`, 'preprocessor'],
      [`.entry k(.param .u32 a); ${real}`, 'declares this entry in two ways'],
      ['.entry k(.param .u64 a', 'does not end'],
    ];
    for (const [text, why] of texts) {
      expect(() => entryParameters(text, 'k'), text).toThrow(
        expect.objectContaining({ code: 'INVALID_INPUT', message: expect.stringContaining(why) }),
      );
    }
    expect(entryParameters(`${real};\n${real}`, 'k')).toEqual([8]);
  });

  it('reads text that is made to be slow in one pass', () => {
    const parts = ['/* */', '.entry a(', '.entry a', '"" ', '// \n', '.entry ', '/'];
    for (const part of parts) {
      const text = `${part.repeat(4e6 / part.length)}\n.entry k(.param .u64 a)`;
      expect(entryParameters(text, 'k'), part).toEqual(part === '.entry a(' ? null : [8]);
    }
    expect(() => entryParameters('/*'.repeat(2e6), 'k')).toThrow('comment without an end');
  });
});

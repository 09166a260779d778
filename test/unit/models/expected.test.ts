import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseExpected } from '../../../src/models/expected.js';
import { loadExpected } from '../../../src/node/files/expected-file.js';

const A = 'a1'.repeat(32);
const B = 'b2'.repeat(32);
const base64 = (hex: string): string => Buffer.from(hex, 'hex').toString('base64');
const pointer = (oid: string, size: string): string =>
  `version https://git-lfs.github.com/spec/v1\noid ${oid}\nsize ${size}\n`;

describe('parseExpected [CI-009] [IV-004]', () => {
  it('takes one digest in every form', () => {
    const digest = { digest: `sha256:${A}`, byteLength: null };
    for (const text of [`sha256:${A}`, ` sha256:${A.toUpperCase()}\n`, `sha256-${base64(A)}`]) {
      const expected = parseExpected(text);
      expect(expected.kind).toBe('digest');
      expect(expected.for('any.bin')).toEqual(digest);
      expect(expected.forAll(['any.bin'])).toEqual([digest]);
    }
    expect(parseExpected(`fsverity-sha256-12:${A}`).for('any.bin')).toEqual({
      digest: `fsverity-sha256-12:${A}`,
      byteLength: null,
    });
    expect(parseExpected(pointer(`sha256:${A}`, '12345')).for('any.bin')).toEqual({
      digest: `sha256:${A}`,
      byteLength: 12345,
    });
    const extended = pointer(`sha256:${A}`, '0').replace('oid', `ext-0-foo sha256:${B}\noid`);
    expect(parseExpected(extended.replaceAll('\n', '\r\n')).for('x').byteLength).toBe(0);
  });

  it('takes lists as sha256sum writes them, with both markers, tags, escapes and comments', () => {
    const list = parseExpected(
      [
        '# made yesterday',
        `${A}  plain name.bin`,
        `${B.toUpperCase()} *binary.bin`,
        `SHA256 (tag (1).bin) = ${A}`,
        `\\${B}  back\\\\slash\\nbreak.bin`,
        `\\SHA256 (tag\\\\2.bin) = ${B}`,
        `${A}  ./sub/dir.bin\r`,
        `fsverity-sha256-12:${B}  verity.bin`,
        '',
      ].join('\n'),
    );
    expect(list.kind).toBe('list');
    expect(list.names).toEqual([
      'plain name.bin',
      'binary.bin',
      'tag (1).bin',
      'back\\slash\nbreak.bin',
      'tag\\2.bin',
      'sub/dir.bin',
      'verity.bin',
    ]);
    expect(list.for('plain name.bin').digest).toBe(`sha256:${A}`);
    expect(list.for('./binary.bin').digest).toBe(`sha256:${B}`);
    expect(list.for('tag (1).bin').digest).toBe(`sha256:${A}`);
    expect(list.for('back\\slash\nbreak.bin').digest).toBe(`sha256:${B}`);
    expect(list.for('tag\\2.bin').digest).toBe(`sha256:${B}`);
    expect(list.for('/models/sub/dir.bin').digest).toBe(`sha256:${A}`);
    expect(list.for('verity.bin').digest).toBe(`fsverity-sha256-12:${B}`);
  });

  it('refuses files that a list does not name, and names that are only alike', () => {
    const list = parseExpected(`${A}  model.bin\n${B}  a/other.bin\n`);
    for (const name of [
      'missing.bin',
      'odel.bin',
      'xmodel.bin',
      'model.bin/x',
      'other.bin',
      'b/other.bin',
      'xa/other.bin',
      'MODEL.BIN',
    ]) {
      expect(() => list.for(name)).toThrow(`"expected" does not name the file ${JSON.stringify(name)}`);
    }
    expect(() => list.for('')).toThrow('"fileName" must be a non-empty string');
    expect(list.for('x/a/other.bin').digest).toBe(`sha256:${B}`);
  });

  it('gives each file of a job its own entry, or refuses', () => {
    const list = parseExpected(`${A}  1.bin\n${B}  2.bin\n`);
    expect(list.forAll(['m/2.bin', 'm/1.bin']).map(({ digest }) => digest)).toEqual([
      `sha256:${B}`,
      `sha256:${A}`,
    ]);
    expect(() => list.forAll(['1.bin', '3.bin'])).toThrow('does not name the file "3.bin"');
    expect(() => list.forAll(['x/1.bin', 'y/1.bin'])).toThrow('does not distinguish two of the files');
    expect(() => parseExpected(`sha256:${A}`).forAll(['1.bin', '2.bin'])).toThrow(
      'is one digest for several files',
    );
  });

  it.each([
    ['', 'is empty'],
    [' \n', 'is empty'],
    ['# nothing\n', 'lists no file'],
    [A, 'names neither its algorithm nor a file: write "sha256:" or "fsverity-sha256-12:" before the digits'],
    [`sha256:${A}0`, 'must have 64 hexadecimal digits after its first part'],
    [`sha256:${A.slice(1)}`, 'must have 64 hexadecimal digits after its first part'],
    ['sha256:', 'must have 64 hexadecimal digits after its first part'],
    [`fsverity-sha256-12:${A.slice(2)}zz`, 'must have 64 hexadecimal digits after its first part'],
    [
      `sha256:${A}  file`,
      'has an fs-verity digest without its block size (line 1): write fsverity-sha256-12:HEX',
    ],
    [`sha512-${base64(A)}`, 'is an integrity string of another algorithm than sha256'],
    [`sha256-${base64(A)} sha512-${base64(A)}`, 'has several integrity hashes; give the one of SHA-256'],
    [
      `sha256-${A}`,
      'has hexadecimal digits after a hyphen: write "sha256:" before them (sha256- is for Base64)',
    ],
    [
      `fsverity-sha256-12-${A}`,
      'has hexadecimal digits after a hyphen: write "fsverity-sha256-12:" before them (sha256- is for Base64)',
    ],
    [`sha256-${base64(A).slice(4)}`, 'is an integrity string that does not hold 32 bytes in Base64'],
    [`sha256-${'A'.repeat(42)}B=`, 'is an integrity string that does not hold 32 bytes in Base64'],
    [`sha256-${base64(A)}?x`, 'is not an integrity string: expected sha256- and Base64'],
    [pointer(`md5:${A}`, '1'), 'is a Git LFS pointer without an oid of sha256'],
    [pointer(`sha256:${A.toUpperCase()}`, '1'), 'is a Git LFS pointer without an oid of sha256'],
    [pointer(`sha256:${A}`, '-1'), 'is a Git LFS pointer without a size in bytes'],
    [pointer(`sha256:${A}`, '9007199254740992'), 'is a Git LFS pointer without a size in bytes'],
    [`${pointer(`sha256:${A}`, '1')}size 2\n`, 'is a Git LFS pointer with a key twice'],
    [`${pointer(`sha256:${A}`, '1')}\n`, 'is a Git LFS pointer with a line that is not "key value"'],
    [`${A}  a\n${A}  a\n`, 'names a file twice (line 2)'],
    [`${A}  a\n${B}  ./a\n`, 'names a file twice (line 2)'],
    [`${A}  ./\n`, 'has a digest without a file name (line 1)'],
    [`\\${A}  a\\x\n`, 'has a bad escape in a file name (line 1)'],
    [`\\${A}  a\\\n`, 'has a bad escape in a file name (line 1)'],
    [
      `${A}\ta\n`,
      'is neither a digest, an integrity string, a Git LFS pointer nor a list of digests (line 1)',
    ],
    [
      `${A} a\n`,
      'is neither a digest, an integrity string, a Git LFS pointer nor a list of digests (line 1)',
    ],
    [
      `${A.slice(2)}  a\n`,
      'is neither a digest, an integrity string, a Git LFS pointer nor a list of digests (line 1)',
    ],
    [
      `${A}  a\nhello\n`,
      'is neither a digest, an integrity string, a Git LFS pointer nor a list of digests (line 2)',
    ],
    [
      `MD5 (a) = ${A}`,
      'is neither a digest, an integrity string, a Git LFS pointer nor a list of digests (line 1)',
    ],
  ])('refuses %j', (text, message) => {
    expect(() => parseExpected(text)).toThrow(new RegExp(`^"expected" ${escapeRegExp(message)}$`));
  });

  it('refuses what is not a string, and too much of one', () => {
    expect(() => Reflect.apply(parseExpected, undefined, [null])).toThrow('must be a string');
    expect(() => parseExpected('x'.repeat(16 * 1024 * 1024 + 1))).toThrow(
      'must be at most 16777216 characters',
    );
  });

  it('refuses a line of a million brackets by its length, and takes linear time for a shorter one', () => {
    const tooLong = 'has a line of more than 8320 characters (line 1)';
    expect(() => parseExpected(`SHA256 (${') = '.repeat(1_000_000)}`)).toThrow(tooLong);
    expect(() => parseExpected(`sha256-${'a '.repeat(1_000_000)}`)).toThrow(tooLong);
    expect(() => parseExpected(`SHA256 (${') = '.repeat(2_000)}`)).toThrow('is neither');
  });
});

describe('loadExpected', () => {
  const folder = mkdtempSync(join(tmpdir(), 'expected-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };

  it('takes a digest, or the path of a list', async () => {
    expect((await loadExpected(`sha256:${A}`)).for('x').digest).toBe(`sha256:${A}`);
    expect((await loadExpected(file('SHA256SUMS', `${B}  x\n`))).for('x').digest).toBe(`sha256:${B}`);
    expect((await loadExpected(file('pointer', pointer(`sha256:${A}`, '5')))).for('x').byteLength).toBe(5);
    await expect(loadExpected(join(folder, 'none'))).rejects.toThrow('no such file');
    await expect(loadExpected(file('latin1', Uint8Array.of(0xff, 0x41)))).rejects.toThrow(
      'is a file that is not UTF-8 text',
    );
    await expect(loadExpected(`sha256:${A}0`)).rejects.toThrow('must have 64 hexadecimal digits');
  });

  const sha256sum = hasSha256sum();
  it.skipIf(!sha256sum)('reads what the sha256sum program writes, skipped where there is none', async () => {
    const names = ['plain.bin', 'with space.bin', 'back\\slash.bin', 'line\nbreak.bin'];
    for (const name of names) file(name, `content of ${name}`);
    for (const options of [[], ['--binary'], ['--tag']]) {
      const text = execFileSync('sha256sum', [...options, ...names], { cwd: folder, encoding: 'utf8' });
      const list = parseExpected(text);
      expect(list.names).toEqual(names);
      for (const name of names) {
        const digest = createHash('sha256').update(`content of ${name}`).digest('hex');
        expect(list.for(name).digest).toBe(`sha256:${digest}`);
      }
    }
  });
});

function hasSha256sum(): boolean {
  try {
    execFileSync('sha256sum', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

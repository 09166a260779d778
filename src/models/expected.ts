import { fromBase64, invalidInput, MAX_INTEGER, toHex, type VramError } from '../base/index.js';
import { formatDigest } from '../digest/index.js';
import { type PackedDigest, parseModelList } from './model-list.js';

/** The expected digest and length of a file. */
export interface ExpectedDigest {
  /** `sha256:HEX` or `fsverity-sha256-12:HEX`, lowercase: what seal() takes as `expected`. */
  readonly digest: string;
  /** Bytes of the file, if the source of the digest states them; else null. */
  readonly byteLength: number | null;
}

/** Expected digests for one file, or for files by name. */
export interface ExpectedDigests {
  /** One digest that names no file, or a list of names. */
  readonly kind: 'digest' | 'list';
  /** File names of a list, in its order; empty for a digest. */
  readonly names: readonly string[];
  /**
   * For one file, by its path; a list may name only its last parts. Errors: INVALID_INPUT if the list does not
   * name the file.
   */
  for(fileName: string): ExpectedDigest;
  /**
   * For all files of one job, in their order. Errors: INVALID_INPUT if a list does not name one of them, or two of them
   * by one name, or if one digest is given for several files.
   */
  forAll(fileNames: readonly string[]): ExpectedDigest[];
  /** Of a model list: what the packed tensors must be; else null. */
  readonly packed: PackedDigest | null;
  /** Whether a list names this file. False for a single digest, which names none. */
  lists(fileName: string): boolean;
  /** Names of a list that stand for none of these files, in its order; empty for a digest. */
  unused(fileNames: readonly string[]): string[];
}

/** Fits a model list of 500,000 tensors, which has 100 MB. Skipped parts of it take no memory. */
const MAX_MODEL_LIST = 256 * 1024 * 1024;
const MAX_TEXT = 16 * 1024 * 1024;
/** Characters of a file's path: PATH_MAX of Linux. It bounds how many path suffixes are looked up. */
const MAX_NAME = 4096;
/** Every character of a name escaped, and a digest. */
const MAX_LINE = 2 * MAX_NAME + 128;
const WHAT = 'expected';
const DIGEST = /^(sha256|fsverity-sha256-12):([0-9A-Fa-f]{64})$/;
const INTEGRITY = /^(sha\d+)-([A-Za-z0-9+/]+={0,2})$/;
const POINTER_VERSION = 'version https://git-lfs.github.com/spec/v1';
const GNU_LINE = /^(\\?)(?:(fsverity-sha256-12):)?([0-9A-Fa-f]{64}) ([ *])(.+)$/s;
const BSD_LINE = /^(\\?)SHA256 \((.+)\) = ([0-9A-Fa-f]{64})$/s;

/**
 * Reads expected digests in any of these forms:
 *
 * - `sha256:HEX` and `fsverity-sha256-12:HEX`;
 * - `sha256-BASE64`, the integrity string of npm and of Subresource Integrity (W3C), one hash;
 * - the text of a Git LFS pointer, which hubs show for their large files;
 * - the text of a `SHA256SUMS` file as sha256sum writes it: `HEX  name`, `HEX *name`, `SHA256 (name) = HEX`, with its
 *   escapes for names with a backslash or line break; lines that `vram-residency digest` prints
 *   (`fsverity-sha256-12:HEX  name`) are taken too;
 * - the model list that `vram-residency digest --tensors --json` prints: JSON, an object.
 *
 * Errors: INVALID_INPUT.
 */
export function parseExpected(text: string): ExpectedDigests {
  if (typeof text !== 'string') throw refuse('must be a string');
  const limit = text.startsWith('{') ? MAX_MODEL_LIST : MAX_TEXT;
  if (text.length > limit) throw refuse(`must be at most ${limit} characters`);
  const trimmed = text.trim();
  if (trimmed === '') throw refuse('is empty');
  if (trimmed.startsWith('{')) return modelList(trimmed);
  if (trimmed.startsWith(POINTER_VERSION)) return single(parsePointer(text));
  return single(parseDigestWord(trimmed)) ?? parseList(text);
}

function single(expected: ExpectedDigest): ExpectedDigests;
function single(expected: ExpectedDigest | null): ExpectedDigests | null;
function single(expected: ExpectedDigest | null): ExpectedDigests | null {
  if (expected === null) return null;
  return {
    kind: 'digest',
    names: [],
    for: () => expected,
    forAll: (fileNames) => {
      if (fileNames.length > 1) throw refuse('is one digest for several files: give a list that names them');
      return fileNames.map(() => expected);
    },
    packed: null,
    lists: () => false,
    unused: () => [],
  };
}

/** One word: a digest or an integrity string. Null if it looks like neither. */
function parseDigestWord(word: string): ExpectedDigest | null {
  if (/^(sha256|fsverity-sha256-12):\S*$/.test(word)) {
    const match = DIGEST.exec(word);
    if (match === null) throw refuse('must have 64 hexadecimal digits after its first part');
    return expectedOf(match[1], match[2]);
  }
  if (/^[0-9A-Fa-f]{64}$/.test(word)) {
    throw refuse(
      'names neither its algorithm nor a file: write "sha256:" or "fsverity-sha256-12:" before the digits',
    );
  }
  const hyphen = /^(sha256|fsverity-sha256-12)-([0-9A-Fa-f]{64})$/.exec(word);
  if (hyphen !== null) {
    throw refuse(
      `has hexadecimal digits after a hyphen: write "${hyphen[1]}:" before them (sha256- is for Base64)`,
    );
  }
  if (/^sha\d+-\S+(\s+sha\d+-\S+)+$/.test(word))
    throw refuse('has several integrity hashes; give the one of SHA-256');
  const match = INTEGRITY.exec(word);
  if (match !== null) return parseIntegrity(match[1], match[2]);
  if (/^sha\d+-\S*$/.test(word)) throw refuse('is not an integrity string: expected sha256- and Base64');
  return null;
}

function parseIntegrity(algorithm: string | undefined, base64 = ''): ExpectedDigest {
  if (algorithm !== 'sha256') throw refuse('is an integrity string of another algorithm than sha256');
  const problem = 'is an integrity string that does not hold 32 bytes in Base64';
  const digest = fromBase64(base64);
  if (digest?.length !== 32) throw refuse(problem);
  return expectedOf('sha256', toHex(digest));
}

/** Git LFS pointer, version 1: `version` first, then the other keys in order, `oid` and `size` among them, one a line. */
function parsePointer(text: string): ExpectedDigest {
  const values = new Map<string, string>();
  const lines = text.replace(/\r?\n$/, '').split(/\r?\n/);
  for (const line of lines) {
    const match = /^([a-z0-9.-]+) (.+)$/.exec(line);
    if (match === null) throw refuse('is a Git LFS pointer with a line that is not "key value"');
    const [, key = '', value = ''] = match;
    if (values.has(key)) throw refuse('is a Git LFS pointer with a key twice');
    values.set(key, value);
  }
  const oid = /^sha256:([0-9a-f]{64})$/.exec(values.get('oid') ?? '');
  if (oid === null) throw refuse('is a Git LFS pointer without an oid of sha256');
  const size = values.get('size') ?? '';
  const byteLength = Number(size);
  if (!/^(0|[1-9][0-9]{0,15})$/.test(size) || byteLength > MAX_INTEGER) {
    throw refuse('is a Git LFS pointer without a size in bytes');
  }
  return { ...expectedOf('sha256', oid[1]), byteLength };
}

function parseList(text: string): ExpectedDigests {
  const entries = new Map<string, ExpectedDigest>();
  let number = 0;
  for (const line of linesOf(text)) {
    number += 1;
    if (line === '' || line.startsWith('#')) continue;
    const { name, expected } = parseListLine(line, number);
    if (entries.has(name)) throw refuse(`names a file twice (line ${number})`);
    entries.set(name, expected);
  }
  if (entries.size === 0) throw refuse('lists no file');
  return listOf(entries, null);
}

/** Reads the output of `digest --tensors --json`. */
function modelList(text: string): ExpectedDigests {
  const { files, packed } = parseModelList(new TextEncoder().encode(text), WHAT);
  const entries = new Map<string, ExpectedDigest>();
  for (const [name, { fsverity, byteLength }] of files) {
    entries.set(normalise(name), { digest: fsverity, byteLength });
  }
  return listOf(entries, packed);
}

function listOf(entries: ReadonlyMap<string, ExpectedDigest>, packed: PackedDigest | null): ExpectedDigests {
  return {
    kind: 'list',
    packed,
    names: [...entries.keys()],
    for: (fileName) => listed(entries, fileName).expected,
    forAll: (fileNames) => {
      const used = new Set<string>();
      return fileNames.map((fileName) => {
        const { name, expected } = listed(entries, fileName);
        if (used.has(name))
          throw refuse('does not distinguish two of the files: list them with their folders');
        used.add(name);
        return expected;
      });
    },
    lists: (fileName) => lookUp(entries, fileName) !== null,
    unused: (fileNames) => {
      const used = new Set(fileNames.map((fileName) => lookUp(entries, fileName)?.name));
      return [...entries.keys()].filter((name) => !used.has(name));
    },
  };
}

/** Yields lines one by one: as an array, sixteen million empty lines would take ten times the memory of the text. */
function* linesOf(text: string): Generator<string> {
  for (let start = 0; start < text.length; ) {
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    yield text.slice(start, text[end - 1] === '\r' ? Math.max(start, end - 1) : end);
    start = end + 1;
  }
}

function parseListLine(line: string, number: number): { name: string; expected: ExpectedDigest } {
  if (line.length > MAX_LINE) throw refuse(`has a line of more than ${MAX_LINE} characters (line ${number})`);
  const gnu = GNU_LINE.exec(line);
  const bsd = gnu === null ? BSD_LINE.exec(line) : null;
  const [marker, algorithm, hex, name] =
    gnu === null ? [bsd?.[1], 'sha256', bsd?.[3], bsd?.[2]] : [gnu[1], gnu[2] ?? 'sha256', gnu[3], gnu[5]];
  if (name === undefined) {
    // The output of the fsverity program looks like a plain SHA-256, but is not one.
    if (/^sha256:[0-9a-f]{64} /.test(line)) {
      throw refuse(
        `has an fs-verity digest without its block size (line ${number}): write fsverity-sha256-12:HEX`,
      );
    }
    throw refuse(
      `is neither a digest, an integrity string, a Git LFS pointer nor a list of digests (line ${number})`,
    );
  }
  const plain = normalise(marker === '\\' ? unescapeName(name, number) : name);
  if (plain === '') throw refuse(`has a digest without a file name (line ${number})`);
  if (plain.length > MAX_NAME)
    throw refuse(`has a file name of more than ${MAX_NAME} characters (line ${number})`);
  return { name: plain, expected: expectedOf(algorithm, hex) };
}

/** sha256sum writes `\\`, `\n` and `\r` in the names of lines that start with a backslash. */
function unescapeName(name: string, line: number): string {
  return name.replace(/\\(.?)/gs, (_, letter: string) => {
    if (letter === '\\') return '\\';
    if (letter === 'n') return '\n';
    if (letter === 'r') return '\r';
    throw refuse(`has a bad escape in a file name (line ${line})`);
  });
}

interface Entry {
  readonly name: string;
  readonly expected: ExpectedDigest;
}

function listed(entries: ReadonlyMap<string, ExpectedDigest>, fileName: string): Entry {
  const entry = lookUp(entries, fileName);
  if (entry === null) throw refuse(`does not name the file ${JSON.stringify(fileName)}`);
  return entry;
}

/** The entry that is the file's name or the longest end of its path; null if there is none. */
function lookUp(entries: ReadonlyMap<string, ExpectedDigest>, fileName: string): Entry | null {
  if (typeof fileName !== 'string' || fileName === '')
    throw invalidInput('fileName', 'must be a non-empty string');
  if (fileName.length > MAX_NAME) throw invalidInput('fileName', `must be at most ${MAX_NAME} characters`);
  let name = normalise(fileName);
  for (;;) {
    const expected = entries.get(name);
    if (expected !== undefined) return { name, expected };
    const slash = name.indexOf('/');
    if (slash < 0) return null;
    name = name.slice(slash + 1);
  }
}

function normalise(name: string): string {
  return name.replace(/^(\.\/+)+/, '');
}

function expectedOf(algorithm: string | undefined, hex = ''): ExpectedDigest {
  const digest = formatDigest({
    algorithm: algorithm === 'sha256' ? 'sha256' : 'fsverity',
    hex: hex.toLowerCase(),
  });
  return { digest, byteLength: null };
}

function refuse(problem: string): VramError {
  return invalidInput(WHAT, problem);
}

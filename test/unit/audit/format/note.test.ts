import { describe, expect, it } from 'vitest';
import { parseCheckpoint, parseOrigin, signCheckpoint } from '../../../../src/audit/format/checkpoint.js';
import {
  formatVerifierKey,
  parseNote,
  parseVerifierKey,
  signNote,
  verifierKey,
  verifyNote,
} from '../../../../src/audit/format/note.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { webCrypto } from '../../../../src/web/web-crypto.js';
import { refusal } from '../../../support/refusal.js';
import { naiveCheckpoint } from '../oracle.js';
import { testSigner } from '../signer.js';

// The example of the Go checksum database's note package: a key, a text and a signature that we did not make.
const KEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';

const NOTE =
  'If you think cryptography is the answer to your problem,\n' +
  "then you don't know what your problem is.\n" +
  '\n' +
  '\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';

const ORIGIN = `vram-residency/w/${'0a'.repeat(16)}`;

const signer = testSigner(1);

const LOG_ID = '0a'.repeat(16);

const hash = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

describe('signed notes (C2SP)', () => {
  it.each([
    ['node:crypto', nodeCrypto],
    ['WebCrypto', webCrypto],
  ])('verify an example of another implementation with %s', async (_, crypto) => {
    const key = await parseVerifierKey(crypto, KEY);
    expect(formatVerifierKey(key)).toBe(KEY);
    expect(await verifyNote(crypto, parseNote(NOTE), key)).toBe(true);
    expect(await verifyNote(crypto, parseNote(NOTE.replace('cryptography', 'Cryptography')), key)).toBe(
      false,
    );
  });

  it('ignore signatures of other keys, and are spoilt by a bad one of ours', async () => {
    const note = await signNote(nodeCrypto, 'a text\n', 'name', signer);
    const key = await parseVerifierKey(
      nodeCrypto,
      formatVerifierKey({
        name: 'name',
        keyId: (
          await nodeCrypto.sha256(Buffer.concat([Buffer.from('name\n\u0001'), signer.publicKey]))
        ).slice(0, 4),
        publicKey: signer.publicKey,
      }),
    );
    expect(await verifyNote(nodeCrypto, parseNote(note), key)).toBe(true);
    const other = NOTE.slice(NOTE.indexOf('\u2014'));
    expect(await verifyNote(nodeCrypto, parseNote(note + other), key)).toBe(true);
    const [, line] = note.split('\n\n');
    const encoded = (line ?? '').trim().split(' ')[2] ?? '';
    const bytes = Buffer.from(encoded, 'base64');
    bytes[20] = (bytes[20] ?? 0) ^ 1;
    const bad = `\u2014 name ${bytes.toString('base64')}\n`;
    expect(await verifyNote(nodeCrypto, parseNote(note + bad), key)).toBe(false);
    expect(await verifyNote(nodeCrypto, parseNote(`a text\n\n${other}`), key)).toBe(false);
  });

  it.each([
    ['no blank line', 'text\n\u2014 name AAAAAAAA\n'],
    ['no newline at the end', NOTE.slice(0, -1)],
    ['no signature', 'text\n\n'],
    ['a line that is none', 'text\n\nsignature\n'],
    ['a short signature', 'text\n\n\u2014 name AAAA\n'],
    ['base64 that is not canonical', 'text\n\n\u2014 name AAAAAB==\n'],
    ['a control character', NOTE.replace('If', 'I\u0007f')],
    ['too many signatures', `text\n\n${'\u2014 name AAAAAAAA\n'.repeat(17)}`],
    ['too much text', `${'x'.repeat(70_000)}\n\n\u2014 name AAAAAAAA\n`],
  ])('with %s are refused', (_, note) => {
    expect(() => parseNote(note)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }));
  });

  it.each([
    ['another id', KEY.replace('c74f20a3', 'c74f20a4')],
    ['another algorithm', KEY.replace('+ARpc', '+AhpC')],
    ['a short key', 'a+00000000+AQ=='],
    ['no key', 'PeterNeumann'],
  ])('refuse a verifier key with %s', async (_, line) => {
    await expect(parseVerifierKey(nodeCrypto, line)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  });
});

describe('checkpoints (C2SP tlog-checkpoint)', () => {
  it('are read by an independent reader', async () => {
    const root = new Uint8Array(32).fill(9);
    const { note } = await signCheckpoint(nodeCrypto, { origin: ORIGIN, size: 12, root }, signer);
    expect(naiveCheckpoint(note, signer.publicKey)).toEqual({
      origin: ORIGIN,
      size: 12,
      root: Buffer.from(root),
    });
    expect(parseCheckpoint(note).checkpoint).toEqual({ origin: ORIGIN, size: 12, root, note });
  });

  it.each([
    ['an extension line', (note: string) => note.replace('\n\n', '\nmore\n\n')],
    ['a leading zero', (note: string) => note.replace('\n12\n', '\n012\n')],
    ['a size beyond 2^53', (note: string) => note.replace('\n12\n', '\n9007199254740993\n')],
    ['a negative size', (note: string) => note.replace('\n12\n', '\n-1\n')],
    ['a short root', (note: string) => note.replace(/\n12\n[^\n]+\n/, '\n12\nAAAA\n')],
    [
      'the origin of another kind of log',
      (note: string) => note.replaceAll('vram-residency/w', 'example.com'),
    ],
  ])('with %s are refused', async (_, edit) => {
    const { note } = await signCheckpoint(
      nodeCrypto,
      { origin: ORIGIN, size: 12, root: new Uint8Array(32) },
      signer,
    );
    expect(edit(note)).not.toBe(note);
    expect(() => parseCheckpoint(edit(note))).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }));
  });
});

describe('notes and checkpoints', () => {
  const signer = testSigner(1);
  const line = '\u2014 name AAAAAAAA\n';

  it.each<[string, string, string]>([
    ['no blank line', 'text\n\u2014 name AAAAAAAA\n', 'must be a signed note'],
    ['no newline at the end', `text\n\n${line.trim()}`, 'must be a signed note'],
    ['a line that is none', 'text\n\nsignature\n', 'has a line that is not a signature'],
    ['more after a signature', `text\n\n\u2014 name AAAAAAAA x\n`, 'has a line that is not a signature'],
    ['something before a signature', `text\n\nx\u2014 name AAAAAAAA\n`, 'has a line that is not a signature'],
    [
      'a signature that is only a key id',
      'text\n\n\u2014 name AAAAAA==\n',
      'has a line that is not a signature',
    ],
    ['base64 that is not canonical', 'text\n\n\u2014 name AAAAAAB=\n', 'must be base64'],
    ['a control character', `te\u0007xt\n\n${line}`, 'must not hold control characters'],
    ['17 signatures', `text\n\n${line.repeat(17)}`, 'must have at most 16 signatures'],
    [
      '65,537 characters',
      `${'x'.repeat(65_537 - 2 - line.length)}\n\n${line}`,
      'must be at most 65536 characters',
    ],
  ])('with %s say what is wrong', async (_, note, problem) => {
    expect(await refusal(() => parseNote(note, 'proof'))).toBe(`INVALID_INPUT: "proof" ${problem}`);
  });

  it('have up to 16 signatures, 65,536 characters and any names', () => {
    expect(parseNote(`text\n\n${line.repeat(16)}`).signatures).toHaveLength(16);
    const note = `${'x'.repeat(65_536 - 2 - line.length)}\n\n${line}`;
    expect(note).toHaveLength(65_536);
    expect(parseNote(note).text).toHaveLength(65_536 - 1 - line.length);
    expect(parseNote(`text\n\n\u2014 n AAAAAAA=\n`).signatures).toEqual([
      { name: 'n', bytes: new Uint8Array(5) },
    ]);
    expect(parseNote(`two\nlines\n\nthree\n\n${line}`).text).toBe('two\nlines\n\nthree\n');
  });

  it('are signed of text that ends in a newline, under a name without spaces or plus signs', async () => {
    expect(await refusal(() => signNote(nodeCrypto, 'text', 'name', signer))).toBe(
      'INVALID_INPUT: "text" must end in a newline',
    );
    expect(await refusal(() => signNote(nodeCrypto, 'te\txt\n', 'name', signer))).toBe(
      'INVALID_INPUT: "text" must not hold control characters',
    );
    for (const name of ['', 'a b', 'a+b', ' a', 'a ']) {
      expect(await refusal(() => verifierKey(nodeCrypto, name, signer.publicKey))).toBe(
        'INVALID_INPUT: "name" must be non-empty without spaces and "+"',
      );
    }
    expect(await refusal(() => verifierKey(nodeCrypto, 'name', new Uint8Array(31)))).toBe(
      'INVALID_INPUT: "publicKey" must be 32 bytes',
    );
  });

  it('have keys that are lines of three parts, with their own id', async () => {
    const key = await verifierKey(nodeCrypto, 'name', signer.publicKey);
    const text = formatVerifierKey(key);
    expect(await parseVerifierKey(nodeCrypto, ` ${text}\n`)).toEqual(key);
    const form = 'must be a line "<name>+<key id>+<key>", as "audit key" prints it';
    const [name, id, encoded] = text.split('+', 3);
    const bytes = Buffer.concat([Buffer.of(1), signer.publicKey]);
    const made = (part: Buffer) => `${name}+${id}+${part.toString('base64')}`;
    const wrong: [string, string][] = [
      [`${name}+${id}`, form],
      [`${name} x+${id}+${encoded}`, form],
      [`x\n${text}`, form],
      [`${text}\nx`, form],
      [`${name}+${id}0+${encoded}`, form],
      [made(Buffer.concat([Buffer.of(2), signer.publicKey])), 'must hold an Ed25519 key'],
      [made(bytes.subarray(0, 30)), 'must hold an Ed25519 key'],
      [made(Buffer.concat([bytes, Buffer.of(0, 0, 0)])), 'must hold an Ed25519 key'],
      [text.replace('name', 'nome'), 'has a key id that does not match its key'],
    ];
    for (const [line, problem] of wrong) {
      expect(await refusal(() => parseVerifierKey(nodeCrypto, line)), line).toBe(
        `INVALID_INPUT: "verifierKey" ${problem}`,
      );
    }
  });

  it('are not signed by half a signature', async () => {
    const key = await verifierKey(nodeCrypto, 'name', signer.publicKey);
    const note = parseNote(await signNote(nodeCrypto, 'text\n', 'name', signer));
    expect(await verifyNote(nodeCrypto, note, key)).toBe(true);
    const [signature] = note.signatures;
    const bytes = signature?.bytes.subarray(0, -1) ?? new Uint8Array();
    expect(await verifyNote(nodeCrypto, { ...note, signatures: [{ name: 'name', bytes }] }, key)).toBe(false);
    expect(await verifyNote(nodeCrypto, { ...note, signatures: [] }, key)).toBe(false);
  });

  it('of a log have three lines: origin, size, root', async () => {
    const origin = `vram-residency/w/${LOG_ID}`;
    const root = Buffer.alloc(32, 7).toString('base64');
    const note = (...lines: string[]) => `${lines.map((each) => `${each}\n`).join('')}\n${line}`;
    expect(parseCheckpoint(note(origin, '9007199254740991', root)).checkpoint).toMatchObject({
      origin,
      size: Number.MAX_SAFE_INTEGER,
      root: hash(7),
    });
    expect(parseCheckpoint(note(origin, '0', root)).checkpoint.size).toBe(0);
    const three = 'must have exactly three lines: origin, size, root hash';
    const size = 'must have a decimal tree size in its second line';
    const wrong: [string, string][] = [
      [note(origin, '1'), three],
      [note(origin, '1', root, 'more'), three],
      [note(origin, '01', root), size],
      [note(origin, '1x', root), size],
      [note(origin, 'x1', root), size],
      [note(origin, '-1', root), size],
      [note(origin, '9007199254740992', root), size],
      [note(origin, '12345678901234567', root), size],
      [note(origin, '1', 'AAAA'), 'must have a root hash of 32 bytes'],
      [note(origin, '1', '*'), 'must be base64'],
    ];
    for (const [text, problem] of wrong) {
      expect(await refusal(() => parseCheckpoint(text)), text).toBe(`INVALID_INPUT: "checkpoint" ${problem}`);
    }
  });

  it('are of origins with a worker and a log', async () => {
    expect(parseOrigin(`vram-residency/${'w'.repeat(256)}/${LOG_ID}`)).toEqual({
      workerId: 'w'.repeat(256),
      logId: LOG_ID,
    });
    for (const origin of [
      `x/vram-residency/w/${LOG_ID}`,
      `vram-residency/w/${LOG_ID}0`,
      `vram-residency/w/${LOG_ID.slice(1)}`,
      `vram-residency//${LOG_ID}`,
      `vram-residency/${'w'.repeat(257)}/${LOG_ID}`,
      `vram-residency/w.x/${LOG_ID}`,
      `vram-residency/w/${LOG_ID.toUpperCase()}`,
      `vram-residency/w`,
    ]) {
      expect(await refusal(() => parseOrigin(origin)), origin).toBe(
        'INVALID_INPUT: "origin" must be "vram-residency/<worker id>/<log id>"',
      );
    }
  });
});

import { describe, expect, it } from 'vitest';
import { parseCheckpoint, signCheckpoint } from '../../src/audit/format/checkpoint.js';
import {
  formatVerifierKey,
  parseNote,
  parseVerifierKey,
  signNote,
  verifyNote,
} from '../../src/audit/format/note.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { webCrypto } from '../../src/web/web-crypto.js';
import { naiveCheckpoint } from './audit-oracle.js';
import { testSigner } from './audit-signer.js';

// The example of the Go checksum database's note package: a key, a text and a signature that we did not make.
const KEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const NOTE =
  'If you think cryptography is the answer to your problem,\n' +
  "then you don't know what your problem is.\n" +
  '\n' +
  '\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';
const ORIGIN = `vram-residency/w/${'0a'.repeat(16)}`;
const signer = testSigner(1);

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

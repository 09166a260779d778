import { describe, expect, it } from 'vitest';
import { Scratch, Slabs } from '../../src/audit/format/buffers.js';
import { parseCheckpoint, parseOrigin } from '../../src/audit/format/checkpoint.js';
import { KeyRatchet, MAX_EPOCH } from '../../src/audit/format/keys.js';
import { splitLines } from '../../src/audit/format/lines.js';
import { CompactRange, leafHash, nodeHash, subtreeLevels } from '../../src/audit/format/merkle.js';
import {
  formatVerifierKey,
  parseNote,
  parseVerifierKey,
  signNote,
  verifierKey,
  verifyNote,
} from '../../src/audit/format/note.js';
import {
  dataText,
  isTimestamp,
  MAX_LINE_BYTES,
  parseJsonObject,
  parseLine,
} from '../../src/audit/format/record.js';
import { parseStem, segmentStem } from '../../src/audit/format/segment.js';
import { Chain, emptyChain, MAX_SEGMENT_BYTES } from '../../src/audit/write/chain.js';
import { RecordedSecret } from '../../src/audit/write/secret.js';
import type { CryptoProvider } from '../../src/crypto/provider.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { refusal } from '../support/refusal.js';
import { TOKEN, WORKER } from './audit-events.js';
import { naiveRoot } from './audit-oracle.js';
import { testSigner } from './audit-signer.js';
import { makeVectors } from './audit-vectors.js';

// Small facts about the parts of the log that mutation testing showed nobody checked.

const LOG_ID = '0a'.repeat(16);
const hash = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

describe('keys of the log', () => {
  it('are derived from no other token, and the refusal names it', async () => {
    expect(await refusal(() => KeyRatchet.fromToken(nodeCrypto, new Uint8Array(16), WORKER, LOG_ID))).toBe(
      'INVALID_INPUT: "token" must not be all zero (a token is zeroed once its keys are derived: give a fresh copy)',
    );
  });

  it('move forward alone, to a last epoch, and zero what they leave', async () => {
    const keys: Uint8Array[] = [];
    const crypto: CryptoProvider = {
      ...nodeCrypto,
      hkdf: async (...args) => {
        const key = await nodeCrypto.hkdf(...args);
        keys.push(key);
        return key;
      },
    };
    const ratchet = await KeyRatchet.fromToken(crypto, TOKEN, WORKER, LOG_ID);
    await ratchet.advanceTo(2);
    expect(ratchet.epoch).toBe(2);
    await ratchet.advanceTo(2);
    expect(keys.map((key) => key.every((byte) => byte === 0))).toEqual([true, true, false]);
    expect(await refusal(() => ratchet.advanceTo(1))).toBe(
      `INVALID_INPUT: "epoch" must be from 2 to ${MAX_EPOCH}`,
    );
    expect(await refusal(() => ratchet.advanceTo(MAX_EPOCH + 1))).toContain('INVALID_INPUT: "epoch"');
    await ratchet.mac();
    expect(keys.at(-1)?.every((byte) => byte === 0)).toBe(true);
    ratchet.destroy();
    expect(keys.every((key) => key.every((byte) => byte === 0))).toBe(true);
  });
});

describe('the chain', () => {
  const draft = (ts: string) =>
    ({
      type: 'audit.closed',
      severity: 'MEDIUM',
      ts,
      correlationId: null,
      traceparent: null,
      data: { reason: 'x' },
    }) as const;

  async function chained(maxSegmentBytes?: number) {
    const drawn: number[] = [];
    const crypto: CryptoProvider = {
      ...nodeCrypto,
      randomBytes: (length) => {
        drawn.push(length);
        return nodeCrypto.randomBytes(length);
      },
    };
    const ratchet = await KeyRatchet.fromToken(crypto, TOKEN, WORKER, LOG_ID);
    const chain = new Chain(crypto, emptyChain(crypto, WORKER, LOG_ID, ratchet), maxSegmentBytes);
    return { chain, ratchet, drawn };
  }

  it('begins a segment with a later day alone, and keeps one that a clock is set back in', async () => {
    expect(MAX_SEGMENT_BYTES).toBe(100_000_000);
    const { chain } = await chained();
    const segments = [];
    for (const ts of ['2026-01-02T00:00:00.000Z', '2026-01-01T23:59:59.000Z', '2026-01-03T00:00:00.000Z']) {
      const { segment } = await chain.append(draft(ts));
      segments.push([segment.epoch, segment.firstSeq, segment.date]);
    }
    expect(segments).toEqual([
      [0, 0, '2026-01-02'],
      [0, 0, '2026-01-02'],
      [1, 2, '2026-01-03'],
    ]);
  });

  it('fills a segment to its last byte', async () => {
    const ts = '2026-01-02T00:00:00.000Z';
    const rehearsal = await chained();
    const { bytes } = await rehearsal.chain.append(draft(ts));
    const exact = await chained(2 * bytes.length);
    const epochs = [];
    for (let i = 0; i < 3; i++) epochs.push((await exact.chain.append(draft(ts))).segment.epoch);
    expect(epochs).toEqual([0, 0, 1]);
    const less = await chained(2 * bytes.length - 1);
    await less.chain.append(draft(ts));
    expect((await less.chain.append(draft(ts))).segment.epoch).toBe(1);
    // One record longer than a segment still gets one, of its own.
    const tiny = await chained(10);
    expect((await tiny.chain.append(draft(ts))).segment.epoch).toBe(0);
    expect((await tiny.chain.append(draft(ts))).segment.epoch).toBe(1);
  });

  it('goes on in a segment that has bytes already, up to its last', async () => {
    const ts = '2026-01-02T00:00:00.000Z';
    const { bytes, segment } = await (await chained()).chain.append(draft(ts));
    for (const [held, epoch] of [
      [100, 0],
      [101, 1],
    ] as const) {
      const ratchet = await KeyRatchet.fromToken(nodeCrypto, TOKEN, WORKER, LOG_ID);
      const state = emptyChain(nodeCrypto, WORKER, LOG_ID, ratchet);
      const resumed = { ...state, segment: { start: segment, bytes: held } };
      const chain = new Chain(nodeCrypto, resumed, 100 + bytes.length);
      expect((await chain.append(draft(ts))).segment.epoch).toBe(epoch);
    }
  });

  it('gives every record an id of its own, drawn 256 at a time', async () => {
    const { chain, drawn } = await chained();
    const ids = new Set<string>();
    for (let i = 0; i < 257; i++) {
      const { bytes } = await chain.append(draft('2026-01-02T00:00:00.000Z'));
      const id = /"id":"([0-9a-f]{32})"/.exec(new TextDecoder().decode(bytes))?.[1];
      if (id !== undefined) ids.add(id);
    }
    expect(ids.size).toBe(257);
    expect(drawn).toEqual([4096, 4096]);
  });

  it('destroyed leaves no key behind', async () => {
    const { chain, ratchet } = await chained();
    await chain.append(draft('2026-01-02T00:00:00.000Z'));
    chain.destroy();
    // What is derived now is derived from zeros.
    expect([...(await ratchet.macKey())]).toEqual([
      ...(await nodeCrypto.hkdf(
        new Uint8Array(32),
        new Uint8Array(0),
        new TextEncoder().encode('audit/mac/v1'),
        32,
      )),
    ]);
  });
});

describe('ranges of the tree', () => {
  it.each<[string, readonly [number, number?, Uint8Array[]?], string]>([
    ['a negative begin', [-1], '"begin" must be an integer of at least 0'],
    ['half a leaf', [0.5], '"begin" must be an integer of at least 0'],
    ['an end before its begin', [2, 1], '"end" must be an integer of at least begin'],
    ['an end of half a leaf', [0, 1.5], '"end" must be an integer of at least begin'],
    ['no hashes', [0, 1], '"hashes" must be one hash of 32 bytes for each subtree of the range'],
    [
      'a short hash',
      [0, 1, [new Uint8Array(31)]],
      '"hashes" must be one hash of 32 bytes for each subtree of the range',
    ],
    [
      'one hash short of its kind',
      [0, 3, [hash(1), new Uint8Array(31)]],
      '"hashes" must be one hash of 32 bytes for each subtree of the range',
    ],
  ])('with %s are refused', async (_, [begin, end, hashes], problem) => {
    expect(await refusal(() => new CompactRange(nodeCrypto, begin, end, hashes))).toBe(
      `INVALID_INPUT: ${problem}`,
    );
  });

  it('join where they touch alone, and have a root from the first leaf on', async () => {
    const first = new CompactRange(nodeCrypto, 0, 1, [hash(1)]);
    const late = new CompactRange(nodeCrypto, 2, 3, [hash(3)]);
    expect(await refusal(() => first.join(late))).toBe('INVALID_INPUT: "next" must begin at 1');
    expect(await refusal(() => late.root())).toBe('INVALID_INPUT: "range" must begin at 0 to have a root');
    expect(await new CompactRange(nodeCrypto).root()).toEqual(await nodeCrypto.sha256(new Uint8Array(0)));
  });

  it('copied go their own way', async () => {
    const range = new CompactRange(nodeCrypto, 0, 1, [hash(1)]);
    const copy = range.copy();
    await copy.append(hash(2));
    expect([range.end, copy.end]).toEqual([1, 2]);
    expect(range.hashes).toEqual([hash(1)]);
    expect(copy.hashes).toEqual([await nodeHash(nodeCrypto, hash(1), hash(2))]);
  });

  it('are tiled by the largest aligned subtrees', () => {
    expect(subtreeLevels(0, 0)).toEqual([]);
    expect(subtreeLevels(0, 7)).toEqual([2, 1, 0]);
    expect(subtreeLevels(1, 8)).toEqual([0, 1, 2]);
    expect(subtreeLevels(6, 13)).toEqual([1, 2, 0]);
  });

  it('hash leaves and nodes apart, with or without scratch memory', async () => {
    const entry = new TextEncoder().encode('entry');
    const other = new TextEncoder().encode('other');
    const scratch = new Scratch(4);
    expect(await leafHash(nodeCrypto, entry, scratch)).toEqual(new Uint8Array(naiveRoot([entry])));
    expect(await leafHash(nodeCrypto, entry)).toEqual(new Uint8Array(naiveRoot([entry])));
    const both = new Uint8Array(naiveRoot([entry, other]));
    const [left, right] = [await leafHash(nodeCrypto, entry), await leafHash(nodeCrypto, other)];
    expect(await nodeHash(nodeCrypto, left, right, scratch)).toEqual(both);
    expect(await nodeHash(nodeCrypto, left, right)).toEqual(both);
  });
});

describe('notes and checkpoints', () => {
  const signer = testSigner(1);
  const line = '\u2014 name AAAAAAAA\n';

  it.each<[string, string, string]>([
    ['no blank line', 'text\n\u2014 name AAAAAAAA\n', 'must be a signed note'],
    ['no newline at the end', `text\n\n${line.trim()}`, 'must be a signed note'],
    ['a line that is none', 'text\n\nsignature\n', 'has a line that is no signature'],
    ['more after a signature', `text\n\n\u2014 name AAAAAAAA x\n`, 'has a line that is no signature'],
    ['something before a signature', `text\n\nx\u2014 name AAAAAAAA\n`, 'has a line that is no signature'],
    [
      'a signature that is only a key id',
      'text\n\n\u2014 name AAAAAA==\n',
      'has a line that is no signature',
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
      [text.replace('name', 'nome'), 'has an id that is not its own'],
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

describe('records', () => {
  const bytes = (text: string) => new TextEncoder().encode(text);

  it('are lines whose every part has its form', async () => {
    const line = (await makeVectors()).segments[0]?.lines[1] ?? '';
    expect(parseLine(bytes(line))).toMatchObject({ record: { seq: 1 } });
    const value = JSON.parse(line) as Record<string, unknown>;
    const edited = (member: string, to: unknown) =>
      parseLine(bytes(JSON.stringify({ ...value, [member]: to })));
    for (const [member, to] of [
      ['v', 2],
      ['seq', -1],
      ['seq', 0.5],
      ['seq', '1'],
      ['epoch', -1],
      ['epoch', null],
      ['id', 'ab'],
      ['id', 7],
      ['id', 'AB'.repeat(16)],
      ['id', `${'ab'.repeat(16)}0`],
      ['type', 'no.such'],
      ['type', 7],
      ['correlationId', 7],
      ['data', null],
      ['data', 'text'],
      ['data', []],
    ] as const) {
      expect(edited(member, to), `${member}: ${String(to)}`).toBe('bad-field');
    }
    for (const [member, to] of [
      ['mac', 'x'],
      ['mac', 'AB'.repeat(32)],
      ['prev', 'ab'.repeat(31)],
      ['severity', 'LOW'],
      ['traceparent', '00-x'],
      ['ts', '2026-01-01T00:00:00Z'],
      ['workerId', 'a b'],
      ['workerId', ''],
      ['workerId', 'w'.repeat(257)],
    ] as const) {
      expect(edited(member, to), `${member}: ${String(to)}`).toBe('not-canonical');
    }
    expect(edited('correlationId', null)).toMatchObject({ record: { correlationId: null } });
    expect(edited('workerId', 'w'.repeat(256))).toMatchObject({ macStart: expect.any(Number) });
    expect(edited('data', { b: 1, a: 2 })).toBe('not-canonical');
    expect(edited('data', { a: [{ b: 1, a: 2 }] })).toBe('not-canonical');
    expect(edited('data', { a: [{ a: 1, b: 2 }], b: null })).toMatchObject({ record: { seq: 1 } });
    expect(edited('more', 1)).toBe('bad-field');
    const { v, ...less } = value;
    expect(v).toBe(1);
    expect(parseLine(bytes(JSON.stringify(less)))).toBe('bad-field');
    const { workerId, ...rest } = value;
    expect(parseLine(bytes(JSON.stringify({ workerId, ...rest })))).toBe('bad-field');
    expect(parseLine(bytes(` ${line}`))).toBe('not-canonical');
    for (const text of ['', '{', 'null', '[]', '7']) {
      expect(['not-json', 'bad-field']).toContain(parseLine(bytes(text)));
    }
    expect(parseLine(bytes('null'))).toBe('bad-field');
    expect(parseLine(bytes('[]'))).toBe('bad-field');
    expect(parseLine(Uint8Array.of(0xff))).toBe('not-json');
    expect(parseLine(new Uint8Array(MAX_LINE_BYTES + 1).fill(0x20))).toBe('line-too-long');
    expect(parseLine(new Uint8Array(MAX_LINE_BYTES).fill(0x20))).toBe('not-json');
  });

  it('are UTF-8 without a mark, and nothing that only decodes to one', async () => {
    const line = (await makeVectors()).segments[0]?.lines[1] ?? '';
    const marked = new Uint8Array([0xef, 0xbb, 0xbf, ...bytes(line)]);
    expect(parseLine(marked)).toBe('not-json');
    const text = JSON.stringify({ ...(JSON.parse(line) as object), correlationId: 'x' });
    const broken = bytes(text);
    broken[text.indexOf('"x"') + 1] = 0xff;
    expect(parseLine(bytes(text))).toMatchObject({ record: { correlationId: 'x' } });
    expect(parseLine(broken)).toBe('not-json');
  });

  it('have exactly the keys of a record, and sorted ones wherever objects are', async () => {
    const line = (await makeVectors()).segments[0]?.lines[1] ?? '';
    expect(parseLine(bytes(line.replace('"severity"', '"severitz"')))).toBe('bad-field');
    const value = JSON.parse(line) as Record<string, unknown>;
    const data = { list: [{ a: 1 }, { b: 1, a: 2 }] };
    expect(parseLine(bytes(JSON.stringify({ ...value, data })))).toBe('not-canonical');
  });

  it('mark where their mac stands, behind text of any width', async () => {
    for (const line of (await makeVectors()).segments.flatMap(({ lines }) => lines)) {
      const whole = bytes(line);
      const parsed = parseLine(whole);
      if (typeof parsed === 'string') throw new Error(parsed);
      const mac = new TextDecoder().decode(whole.subarray(parsed.macStart, parsed.macEnd));
      expect(mac).toBe(`"mac":"${parsed.record.mac}",`);
    }
  });

  it('have texts, and strict JSON around them', async () => {
    const line = (await makeVectors()).segments[0]?.lines[1] ?? '';
    const parsed = parseLine(bytes(line));
    if (typeof parsed === 'string') throw new Error(parsed);
    const record = { ...parsed.record, data: { count: 3, text: 'a' } };
    expect([dataText(record, 'text'), dataText(record, 'count'), dataText(record, 'none')]).toEqual([
      'a',
      null,
      null,
    ]);
    expect(await refusal(() => parseJsonObject('[]', 'frontier.json'))).toBe(
      'INVALID_INPUT: frontier.json must be a JSON object',
    );
    expect(await refusal(() => parseJsonObject(`{"a":${'['.repeat(17)}${']'.repeat(17)}}`, 'x'))).toContain(
      'INVALID_INPUT',
    );
    expect(await refusal(() => parseJsonObject('{"a":"\\ud800"}', 'x'))).toContain('INVALID_INPUT');
    expect(parseJsonObject('{"a":1}', 'x')).toEqual({ a: 1 });
  });

  it('carry RFC 3339 times, and nothing like them', () => {
    expect(isTimestamp('2026-01-31T12:00:00.000Z')).toBe(true);
    for (const wrong of [
      '2026-13-31T12:00:00.000Z',
      '2026-01-31T12:00:00Z',
      'x2026-01-31T12:00:00.000Z',
      '2026-01-31T12:00:00.000Zx',
      '2026-01-31',
    ]) {
      expect(isTimestamp(wrong), wrong).toBe(false);
    }
  });
});

describe('files of the log', () => {
  it('have names of 16 digits and a date', () => {
    expect(segmentStem({ firstSeq: 12, date: '2026-01-02' })).toBe('0000000000000012-2026-01-02');
    expect(parseStem('0000000000000012-2026-01-02')).toEqual({ firstSeq: 12, date: '2026-01-02' });
    for (const wrong of [
      'x0000000000000012-2026-01-02',
      '0000000000000012-2026-01-02x',
      '000000000000012-2026-01-02',
      '0000000000000012-2026-1-02',
      '9999999999999999-2026-01-02',
      '',
    ]) {
      expect(parseStem(wrong), wrong).toBeNull();
    }
  });

  async function lines(maxBytes: number, ...chunks: string[]) {
    const found: [string, number, boolean][] = [];
    for await (const group of splitLines(
      chunks.map((chunk) => new TextEncoder().encode(chunk)),
      maxBytes,
    )) {
      for (const { bytes, offset, terminated } of group)
        found.push([new TextDecoder().decode(bytes), offset, terminated]);
    }
    return found;
  }

  it('are cut into lines wherever their chunks end', async () => {
    const whole: [string, number, boolean][] = [
      ['ab', 0, true],
      ['', 3, true],
      ['cd', 4, true],
      ['e', 7, false],
    ];
    expect(await lines(10, 'ab\n\ncd\ne')).toEqual(whole);
    expect(await lines(10, 'a', 'b', '\n', '\nc', 'd\n', 'e')).toEqual(whole);
    expect(await lines(10)).toEqual([]);
    expect(await lines(10, 'ab\n')).toEqual([['ab', 0, true]]);
  });

  it('give the beginning of a line that is too long, once, and go on behind it', async () => {
    expect(await lines(4, 'abcd', '\nx\n')).toEqual([
      ['abcd', 0, true],
      ['x', 5, true],
    ]);
    expect(await lines(4, 'ok\nabcde', 'fghijkl', 'mn\nx\n', 'y')).toEqual([
      ['ok', 0, true],
      ['abcde', 3, false],
      ['x', 18, true],
      ['y', 20, false],
    ]);
    expect(await lines(4, 'abcde', 'fgh')).toEqual([['abcde', 0, false]]);
  });

  it('are made of memory that is cut once', () => {
    const slabs = new Slabs();
    const [first, second] = [slabs.take(10).fill(1), slabs.take(65_526).fill(2)];
    expect(second.buffer).toBe(first.buffer);
    expect([first.length, first.every((byte) => byte === 1), second.length]).toEqual([10, true, 65_526]);
    expect(slabs.take(1).buffer).not.toBe(first.buffer);
    expect(slabs.take(100_000)).toHaveLength(100_000);
    const scratch = new Scratch(8);
    const small = scratch.take(8);
    expect(small.buffer).toBe(scratch.take(4).buffer);
    expect(scratch.take(9)).toHaveLength(9);
    expect(scratch.take(18).buffer).toBe(scratch.take(9).buffer);
  });
});

describe('[AU-006] the token in a label', () => {
  it('is redacted each time, in short texts and long ones, and refused in a name', async () => {
    const secret = new RecordedSecret(TOKEN);
    const token = new TextDecoder().decode(TOKEN);
    for (let i = 0; i < 2; i++) {
      expect(secret.clean(`a ${token} b`)).toBe('a [redacted] b');
      expect(secret.clean('harmless')).toBe('harmless');
      expect(secret.clean(`${'x'.repeat(300)}${token}`)).toBe(`${'x'.repeat(300)}[redacted]`);
      expect(secret.clean('y'.repeat(300))).toBe('y'.repeat(300));
    }
    for (let i = 0; i < 600; i++) expect(secret.clean(`text ${i}`)).toBe(`text ${i}`);
    expect(secret.clean(token)).toBe('[redacted]');
    expect(await refusal(() => secret.refuseIn('workerId', token))).toBe(
      'INVALID_INPUT: "workerId" must not contain the token',
    );
    expect(await refusal(() => secret.refuseIn('workerId', 'worker'))).toBe('accepted');
  });
});

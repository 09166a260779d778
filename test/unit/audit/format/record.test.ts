import { describe, expect, it } from 'vitest';
import {
  dataText,
  isTimestamp,
  MAX_LINE_BYTES,
  parseJsonObject,
  parseLine,
} from '../../../../src/audit/format/record.js';
import type { AuditLog, AuditSink } from '../../../../src/audit/index.js';
import { MemorySink } from '../../../../src/audit/write/memory-sink.js';
import { type AuditObserverOptions, auditObserver } from '../../../../src/audit/write/observer.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { refusal } from '../../../support/refusal.js';
import { TOKEN, WORKER } from '../events.js';
import { testSigner } from '../signer.js';
import { makeVectors } from '../vectors.js';

const signer = testSigner(7);

function open(sink: AuditSink | AuditSink[], options: Partial<AuditObserverOptions> = {}): Promise<AuditLog> {
  return auditObserver({ sink, workerId: WORKER, token: TOKEN, crypto: nodeCrypto, signer, ...options });
}

const linesOf = (sink: MemorySink): string[] =>
  sink.segments().flatMap(({ bytes }) => new TextDecoder().decode(bytes).split('\n').slice(0, -1));

describe('lines that are read', () => {
  const line = async (): Promise<string> => {
    const sink = new MemorySink();
    await (await open(sink)).close();
    return linesOf(sink)[0] ?? '';
  };
  const parse = (text: string) => parseLine(new TextEncoder().encode(text));

  it('are refused unless they are exactly what the writer writes', async () => {
    const good = await line();
    expect(parse(good)).toMatchObject({ record: { seq: 0 } });
    expect(parse(`${good} `)).toBe('not-canonical');
    expect(parse(good.replace('"v":1', '"v":2'))).toBe('bad-field');
    expect(parse(good.replace('"v":1', '"v": 1'))).toBe('not-canonical');
    expect(parse(good.replace('{"correlationId":null,', '{"correlationId":null,"correlationId":null,'))).toBe(
      'not-canonical',
    );
    expect(parse(good.replace('"seq":0', '"seq":0.0'))).toBe('not-canonical');
    expect(parse(good.replace('"resumed":false', '"resumed":false,"aa":1'))).toBe('not-canonical');
    expect(parse(good.replace('audit.opened', 'audit.opener'))).toBe('bad-field');
    expect(parse('[]')).toBe('bad-field');
    expect(parse('')).toBe('not-json');
    expect(parse(good.slice(0, -1))).toBe('not-json');
    expect(parseLine(Uint8Array.of(0xff))).toBe('not-json');
    expect(parseLine(new Uint8Array(70_000))).toBe('line-too-long');
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

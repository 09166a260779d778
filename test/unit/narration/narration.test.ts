import { describe, expect, it } from 'vitest';
import type { EventType } from '../../../src/events/events.js';
import {
  consoleSink,
  NARRATED_ACTIONS,
  type Narration,
  NarrationCapture,
  narrationObserver,
} from '../../../src/narration/index.js';
import { createRedactor } from '../../../src/narration/redact.js';
import { pinoSink, prettySink } from '../../../src/node/narration.js';
import { EVENT_TYPES, SAMPLE_ERROR, sampleEvent } from '../../support/events.js';

const TOKEN = new TextEncoder().encode('correct horse battery staple');

function observed(storybook = false) {
  const capture = new NarrationCapture();
  return { capture, observer: narrationObserver({ sinks: [capture], storybook, token: TOKEN }) };
}

/** The thirteen of the original system, each with the event that tells it. */
const THIRTEEN: Readonly<Record<string, EventType>> = {
  manager_init: 'manager.opened',
  model_sealed: 'vram.sealed',
  seal_verified: 'seal.verified',
  seal_verification_failed: 'seal.verification_failed',
  vram_allocated: 'vram.allocated',
  vram_allocation_failed: 'vram.allocation_failed',
  vram_deallocated: 'vram.deallocated',
  policy_violation: 'policy.violation',
  digest_computed: 'digest.computed',
  signature_generated: 'signature.generated',
  device_context_initialised: 'device.opened',
  validation_failed: 'validation.failed',
  capacity_query: 'capacity.queried',
};

describe('narration', () => {
  it.each(Object.entries(THIRTEEN))('[NA-001] tells %s with every field', (action, type) => {
    const { capture, observer } = observed();
    void observer.on(sampleEvent(type));
    expect(capture.told).toHaveLength(1);
    expect(capture.told[0]).toMatchObject({
      action,
      workerId: 'worker-1',
      correlationId: 'req-42',
      device: 'cuda:0',
      modelRef: 'model-1',
      durationMs: 12.5,
      emittedAt: '2026-01-02T03:04:05.678Z',
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
    });
    const told = capture.told[0] as Narration;
    expect(told.emittedBy).toMatch(/^vram-residency@\d/);
    expect(told.actor.length).toBeGreaterThan(0);
    expect(told.target.length).toBeGreaterThan(0);
    expect(told.human).not.toMatch(/undefined|NaN|\[object/);
    expect(told.human.endsWith('.')).toBe(true);
  });

  it('[NA-001] tells every event but pure timing, in at most 160 characters, however long the inputs', () => {
    for (const type of EVENT_TYPES) {
      const { capture, observer } = observed(true);
      void observer.on(sampleEvent(type));
      void observer.on(
        sampleEvent(type, {
          shardId: 's'.repeat(256),
          workerId: 'w'.repeat(256),
          modelRef: '💾'.repeat(256),
        }),
      );
      const silent = type === 'operation.started' || type === 'operation.stage';
      expect(capture.told.length > 0, type).toBe(!silent);
      for (const { human, storybook } of capture.told) {
        expect(human.length).toBeLessThanOrEqual(160);
        expect(storybook?.length).toBeGreaterThan(0);
        expect(human).not.toMatch(/\p{Surrogate}/u);
      }
    }
  });

  it('[NA-001] uses every action of its catalogue and no other', () => {
    const { capture, observer } = observed();
    for (const type of EVENT_TYPES) void observer.on(sampleEvent(type, { operationId: type }));
    expect(new Set(capture.actions())).toEqual(new Set(Object.keys(NARRATED_ACTIONS)));
  });

  it('tells a failure once: the specific sentence, or else the operation’s own', () => {
    const { capture, observer } = observed();
    void observer.on(sampleEvent('vram.allocation_failed'));
    void observer.on(sampleEvent('operation.finished'));
    expect(capture.actions()).toEqual(['vram_allocation_failed']);
    void observer.on(sampleEvent('operation.finished', { operationId: 'op-2' }));
    expect(capture.actions()).toEqual(['vram_allocation_failed', 'model_sealed']);
    expect(capture.told[1]).toMatchObject({
      errorKind: 'DEVICE_UNAVAILABLE',
      retriable: true,
      level: 'warn',
    });
  });

  it('says whether trying again may help', () => {
    const { capture, observer } = observed();
    void observer.on(sampleEvent('seal.verification_failed'));
    expect(capture.told[0]).toMatchObject({
      errorKind: 'INTEGRITY_VIOLATION',
      retriable: false,
      level: 'error',
    });
    void observer.on(sampleEvent('seal.verified'));
    expect(capture.told[1]).toMatchObject({ errorKind: null, retriable: null });
  });

  it('never makes an operation fail, and goes on with the other sinks', () => {
    const capture = new NarrationCapture();
    const broken = {
      tell() {
        throw new Error('the terminal is gone');
      },
    };
    const observer = narrationObserver({ sinks: [broken, capture] });
    expect(() => observer.on(sampleEvent('vram.sealed'))).not.toThrow();
    expect(capture.actions()).toEqual(['model_sealed']);
  });

  it('writes JSON lines by pino, sentences for people, and console lines', () => {
    const lines: string[] = [];
    const target = { write: (text: string) => lines.push(text) };
    const consoled: unknown[][] = [];
    const record = (...args: unknown[]) => void consoled.push(args);
    const observer = narrationObserver({
      sinks: [
        pinoSink(target),
        prettySink(target, { colour: false }),
        consoleSink({ info: record, warn: record, error: record }),
      ],
    });
    void observer.on(sampleEvent('vram.sealed'));
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'info',
      time: '2026-01-02T03:04:05.678Z',
      action: 'model_sealed',
      correlationId: 'req-42',
      msg: expect.stringContaining('is sealed on cuda:0'),
    });
    expect(lines[1]).toMatch(/^03:04:05\.678 info {2}shard-1, 4\.1 kB, is sealed on cuda:0/);
    expect(consoled[0]?.[0]).toContain('is sealed on cuda:0');
  });
});

describe('the capture adapter', () => {
  it('finds what was told, in order, and complains of what was not', () => {
    const { capture, observer } = observed();
    void observer.on(sampleEvent('vram.allocated'));
    void observer.on(sampleEvent('vram.sealed'));
    capture.assertToldInOrder([{ action: 'vram_allocated', device: 'cuda:0' }, { action: 'model_sealed' }]);
    capture.assertNotTold({ action: 'policy_violation' });
    expect(() =>
      capture.assertToldInOrder([{ action: 'model_sealed' }, { action: 'vram_allocated' }]),
    ).toThrow(/position|narration 1/);
    expect(() => capture.assertToldInOrder([{ action: 'model_sealed', device: 'host' }])).toThrow();
    expect(() => capture.assertNotTold({ action: 'model_sealed' })).toThrow();
  });
});

describe('redaction', () => {
  const redactor = createRedactor(TOKEN);
  const hex = Buffer.from(TOKEN).toString('hex');

  it.each([
    ['a bearer token', 'Authorization: Bearer abc.def-ghi_jkl', 'abc.def-ghi_jkl'],
    ['a bearer token alone', 'sent bearer AbCdEf0123456789', 'AbCdEf0123456789'],
    ['key=value', 'url?api_key=s3cr3tvalue&x=1', 's3cr3tvalue'],
    ['key: value', 'password: hunter2000', 'hunter2000'],
    ['a name that ends in token', 'HF_TOKEN=abcdefgh', 'abcdefgh'],
    ['camel case', 'accessToken="quoted secret value"', 'quoted secret value'],
    ['JSON', '{"client_secret":"zzzyyyxxx"}', 'zzzyyyxxx'],
    ['a hub token', 'using hf_ABCDEFGHIJKLMNOPQRST', 'hf_ABCDEFGHIJKLMNOPQRST'],
    ['a JSON web token', 'eyJhbGciOiJI.eyJzdWIiOiIx.c2ln', 'eyJzdWIiOiIx'],
    ['a URL with credentials', 'https://user:pa55word@host/path', 'pa55word'],
    ['a device address', 'at 0x7f2a40001000 in', '7f2a40001000'],
    ['a private key', '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----', 'MC4CAQ'],
    [
      'a private key with headers',
      '-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEow\n',
      'MIIEow',
    ],
    ['a value behind a comma', 'password=hunt,er2000', 'er2000'],
    ['a quoted value with quotes inside', '"password":"a\\"bcdef"', 'bcdef'],
    ['JSON within JSON', '{\\"token\\":\\"abcdefgh\\"}', 'abcdefgh'],
    ['an option', 'run --api-key abcdefgh', 'abcdefgh'],
    ['a token as user name', 'https://abcdefgh@host/path', 'abcdefgh'],
    ['a pre-signed URL', 's3://b/m?X-Amz-Signature=abcdef&x=1', 'abcdef'],
    ['several cookies', 'Cookie: a=b; session=abcdef', 'abcdef'],
    ['mixed case', 'PassWord=hunter2000', 'hunter2000'],
    ['an address behind a letter', 'ptr_0X7F2A40001000g', '7F2A40001000'],
    ['full-width letters', 'ｐａｓｓｗｏｒｄ＝hunter2000', 'hunter2000'],
    ['a name broken by an unseen character', 'pass\u200bword=hunter2000', 'hunter2000'],
    ['a name broken by a control character', 'pass\u0000word=hunter2000', 'hunter2000'],
    [
      'the worker token in mixed case',
      `x${hex.slice(0, 20)}${hex.slice(20).toUpperCase()}`,
      hex.slice(0, 20),
    ],
    ['the worker token broken into lines', 'correct horse\n battery\r\n staple', 'battery'],
    ['the worker token broken by unseen characters', 'cor\u200brect horse bat\u00adtery staple', 'tery'],
    ['the worker token as a list of numbers', `[${TOKEN.join(', ')}]`, '114, 101'],
    ['the worker token in a URL', encodeURIComponent('correct horse battery staple'), 'horse'],
    ['the worker token as text', 'x correct horse battery staple y', 'horse'],
    ['the worker token as hex', `x${hex}y`, hex],
    ['the worker token as upper hex', hex.toUpperCase(), hex.toUpperCase()],
    [
      'the worker token as base64',
      Buffer.from(TOKEN).toString('base64'),
      Buffer.from(TOKEN).toString('base64').slice(0, 20),
    ],
    [
      'the worker token as base64url',
      Buffer.from(TOKEN).toString('base64url'),
      Buffer.from(TOKEN).toString('base64url'),
    ],
  ])('[NA-002] takes out %s', (_what, text, secret) => {
    const clean = redactor.redact(text);
    expect(clean).not.toContain(secret);
    expect(clean).toContain('[redacted]');
  });

  it('[NA-002] leaves harmless text alone', () => {
    for (const text of [
      '2.3 MB sealed in 12 ms',
      'shard-1 on cuda:0',
      'a tokenizer of 32000 entries',
      'basic math',
      'needs --token-file FILE',
      'Worker w opened cuda:0 under policy vram-only, key: token in 3.0 ms.',
      'modèle 模型 💾',
    ]) {
      expect(redactor.redact(text)).toBe(text);
    }
  });

  it('[NA-002] leaves one line, without characters that steer a terminal or cannot be seen', () => {
    expect(redactor.redact('a\u001b[31mb\r\nc\u202ed\u0007')).toBe('a[31mb cd');
  });

  it('[NA-002] finds the token wherever it stands, also twice and side by side', () => {
    const token = 'correct horse battery staple';
    expect(redactor.redact(`${token}${token}`)).toBe('[redacted][redacted]');
    for (let offset = 0; offset < 40; offset += 1) {
      expect(redactor.redact(`${'c'.repeat(offset)}${token}${'e'.repeat(offset)}`)).toBe(
        `${'c'.repeat(offset)}[redacted]${'e'.repeat(offset)}`,
      );
    }
  });

  it('[NA-002] cleans every field of a narration', () => {
    const { capture, observer } = observed(true);
    const secret = 'correct horse battery staple';
    void observer.on(
      sampleEvent('operation.finished', {
        operationId: 'x',
        correlationId: secret,
        workerId: hex,
        modelRef: `s3://bucket?token=${secret}`,
        shardId: hex,
        error: {
          ...SAMPLE_ERROR,
          message: `failed with password=hunter2000 at 0x7fffdeadbeef for ${secret}`,
        },
      }),
    );
    const text = JSON.stringify(capture.told);
    for (const part of ['horse', hex, 'hunter2000', 'deadbeef']) expect(text).not.toContain(part);
  });

  // A quadratic pattern would need hours here: the test's own time limit is the assertion.
  it.each([
    ['spaces', `token${' '.repeat(1_000_000)}`],
    ['the word itself', 'token'.repeat(200_000)],
    ['unclosed quotes', 'token="'.repeat(150_000)],
    ['names with separators', 'a-a_'.repeat(250_000)],
    ['begin lines', '-----BEGIN A-----'.repeat(60_000)],
    ['URL starts', '://a:'.repeat(200_000)],
    ['web token starts', 'eyJaaaaaaaa.'.repeat(80_000)],
    ['hexadecimal', `0x${'f'.repeat(1_000_000)}g`],
    ['the token’s beginning', 'correct horse battery stapl'.repeat(37_000)],
    ['one unclosed quote', `token="${'a'.repeat(1_000_000)}`],
    ['escapes in quotes', `token="${'\\a'.repeat(500_000)}`],
    ['web token starts without an end', '-eyJaaaaaaaa'.repeat(80_000)],
    ['hyphens', '-'.repeat(1_000_000)],
    ['headers', 'cookie:'.repeat(140_000)],
    ['end lines', `-----BEGIN A-----${'-----END '.repeat(110_000)}`],
    ['characters that fold', 'ﬁ\u200b'.repeat(500_000)],
    ['bearer', 'bearer '.repeat(140_000)],
  ])('[NA-002] takes linear time on a megabyte of %s', (_what, text) => {
    expect(redactor.redact(text).length).toBeGreaterThan(0);
  });
});

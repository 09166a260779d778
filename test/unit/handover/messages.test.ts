import { describe, expect, it } from 'vitest';
import { decodeMessage, encodeMessage, type ServerMessage } from '../../../src/handover/messages.js';

/** docs/sharing.md: "a line is at most 65,536 bytes, its newline included". */
const MAX_LINE_BYTES = 65_536;

function decode(message: object | string | Uint8Array) {
  if (message instanceof Uint8Array) return decodeMessage(message);
  return decodeMessage(
    new TextEncoder().encode(typeof message === 'string' ? message : JSON.stringify(message)),
  );
}

/** Why a line is refused; undefined if it is not. */
function refusal(message: object | string | Uint8Array): string | undefined {
  try {
    decode(message);
    return undefined;
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'ProtocolError') throw error;
    return error.message;
  }
}

const LABEL = (name: string, bytes: number) =>
  `"${name}" must be text of 1 to ${bytes} bytes without control characters`;
const VERSIONS = '"versions" must be an array of 1 to 16 numbers';
const NOT_STRICT = 'the line is not strict JSON in UTF-8';
const AGE = '"maxAgeMs" must be a number of milliseconds, at least 0';

describe('messages of a client', () => {
  it.each<[object, object]>([
    [
      { type: 'hello', versions: [1], client: 'engine' },
      { type: 'hello', versions: [1], client: 'engine' },
    ],
    [
      { type: 'lend', model: 'model', maxAgeMs: 0 },
      { type: 'lend', model: 'model', maxAgeMs: 0 },
    ],
    [
      { type: 'lend', model: 'model', maxAgeMs: 1.5 },
      { type: 'lend', model: 'model', maxAgeMs: 1.5 },
    ],
    [
      { type: 'lend', model: 'model', maxAgeMs: null },
      { type: 'lend', model: 'model', maxAgeMs: null },
    ],
    [
      { type: 'lend', model: 'model' },
      { type: 'lend', model: 'model', maxAgeMs: null },
    ],
    [
      { type: 'received', shardId: 'weights' },
      { type: 'received', shardId: 'weights' },
    ],
    [
      { type: 'paused', n: 1 },
      { type: 'paused', n: 1 },
    ],
    [{ type: 'end' }, { type: 'end' }],
  ])('%j is read as it stands', (line, message) => {
    expect(decode(line)).toEqual(message);
  });

  it('a hello may have keys of a later version, and is read without them', () => {
    const hello = { type: 'hello', versions: [1, 2], client: 'engine' };
    expect(decode({ ...hello, features: ['later'] })).toEqual(hello);
  });

  it.each<[string, object | string | Uint8Array, string]>([
    [
      'no UTF-8',
      Uint8Array.of(...new TextEncoder().encode('{"type":"received","shardId":"'), 0xff, 0x22, 0x7d),
      NOT_STRICT,
    ],
    ['a lone surrogate', '{"type":"received","shardId":"\\ud800"}', NOT_STRICT],
    ['half an object', '{"type":"end"', NOT_STRICT],
    ['a key twice', '{"type":"end","type":"end"}', NOT_STRICT],
    ['an array in the array of versions', '{"type":"hello","versions":[[1]],"client":"x"}', NOT_STRICT],
    ['an array', '[]', 'the line is not a JSON object'],
    ['null', 'null', 'the line is not a JSON object'],
    ['no type', {}, '"type" is not one of hello, lend, received, paused, end'],
    ['the type of a server', { type: 'lent' }, '"type" is not one of hello, lend, received, paused, end'],
    ['a lend without a model', { type: 'lend' }, 'the message has no "model"'],
    ['a receipt without a shard', { type: 'received' }, 'the message has no "shardId"'],
    ['a pause without a number', { type: 'paused' }, 'the message has no "n"'],
    [
      'a key too many of lend',
      { type: 'lend', model: 'm', x: 1 },
      'the message has a key other than type, model, maxAgeMs',
    ],
    [
      'a key too many of received',
      { type: 'received', shardId: 's', x: 1 },
      'the message has a key other than type, shardId',
    ],
    ['a key too many of paused', { type: 'paused', n: 1, x: 1 }, 'the message has a key other than type, n'],
    ['a key too many of end', { type: 'end', x: 1 }, 'the message has a key other than type'],
    ['versions that are text', { type: 'hello', versions: '1', client: 'x' }, VERSIONS],
    ['no versions', { type: 'hello', versions: [], client: 'x' }, VERSIONS],
    ['17 versions', { type: 'hello', versions: Array(17).fill(1), client: 'x' }, VERSIONS],
    [
      'version 0',
      { type: 'hello', versions: [1, 0], client: 'x' },
      '"versions" must be a whole number from 1 on',
    ],
    ['a client without a name', { type: 'hello', versions: [1], client: '' }, LABEL('client', 128)],
    [
      'a client of 129 bytes',
      { type: 'hello', versions: [1], client: 'é'.repeat(64).concat('x') },
      LABEL('client', 128),
    ],
    ['a control character', { type: 'hello', versions: [1], client: 'a\u001b[2J' }, LABEL('client', 128)],
    ['a model of 257 bytes', { type: 'lend', model: 'm'.repeat(257) }, LABEL('model', 256)],
    ['a shard that is a number', { type: 'received', shardId: 7 }, LABEL('shardId', 256)],
    ['a fraction', { type: 'paused', n: 1.5 }, '"n" must be a whole number from 1 on'],
    ['pause 0', { type: 'paused', n: 0 }, '"n" must be a whole number from 1 on'],
    ['a number as text', { type: 'paused', n: '1' }, '"n" must be a whole number from 1 on'],
    ['a number past 2^53', '{"type":"paused","n":9007199254740992}', NOT_STRICT],
    ['a negative age', { type: 'lend', model: 'm', maxAgeMs: -1 }, AGE],
    ['an age as text', { type: 'lend', model: 'm', maxAgeMs: '1' }, AGE],
  ])('%s is refused with its reason', (_, line, reason) => {
    expect(refusal(line)).toBe(reason);
  });

  it('the longest names, and 16 versions, are taken', () => {
    const hello = { type: 'hello', versions: Array(16).fill(1), client: 'é'.repeat(64) };
    expect(decode(hello)).toEqual(hello);
    expect(decode({ type: 'received', shardId: 's'.repeat(256) })).toMatchObject({ type: 'received' });
  });
});

describe('messages of the server', () => {
  /** A message whose line is `bytes` long. */
  function lineOf(bytes: number): ServerMessage {
    const error = { type: 'error', code: 'BUSY', message: '' } as const;
    return { ...error, message: 'x'.repeat(bytes - 1 - JSON.stringify(error).length) };
  }

  it('end with a newline, and are not sent where they do not fit into a line', () => {
    const longest = encodeMessage(lineOf(MAX_LINE_BYTES));
    expect(longest).toHaveLength(MAX_LINE_BYTES);
    expect(longest?.at(-1)).toBe(0x0a);
    expect(encodeMessage(lineOf(MAX_LINE_BYTES + 1))).toBeNull();
  });
});

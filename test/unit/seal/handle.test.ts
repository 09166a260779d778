import { describe, expect, it } from 'vitest';
import { canonicalBytes } from '../../../src/base/canonical-json.js';
import { toBase64Url } from '../../../src/base/index.js';
import { preAuthEncoding } from '../../../src/crypto/dsse.js';
import type { Mac } from '../../../src/crypto/provider.js';
import { nodeCrypto } from '../../../src/node/crypto.js';
import { readHandle } from '../../../src/seal/handle.js';
import { deriveSealKey, verifySignature } from '../../../src/seal/index.js';
import { SEAL_PAYLOAD_TYPES } from '../../../src/seal/payload.js';
import { CREDULOUS, NOT_GENUINE, PAYLOAD, refusal, SIGNATURE } from './fixture.js';

const GOOD = { ...PAYLOAD, signature: SIGNATURE };

const without = (key: string): object =>
  Object.fromEntries(Object.entries(GOOD).filter(([name]) => name !== key));

/** An object that lists a key which it then denies having. */
const lying = (listed: object): object =>
  new Proxy({ ...listed }, { ownKeys: () => ['ghost'], getOwnPropertyDescriptor: () => undefined });

describe('[CI-002] the form of a handle is judged apart from its signature', () => {
  it('the good form passes with a key that takes anything', async () => {
    expect(await verifySignature(CREDULOUS, GOOD)).toBe(PAYLOAD.sealId);
    expect(await verifySignature(CREDULOUS, JSON.stringify(GOOD))).toBe(PAYLOAD.sealId);
    expect(await verifySignature(CREDULOUS, Object.assign(Object.create(null), GOOD))).toBe(PAYLOAD.sealId);
    const device = Object.assign(Object.create(null), GOOD.device);
    expect(await verifySignature(CREDULOUS, { ...GOOD, device })).toBe(PAYLOAD.sealId);
    const { payload, signature } = readHandle(GOOD);
    expect({ ...payload, device: { ...Object(payload['device']) } }).toEqual(PAYLOAD);
    expect(signature).toBe(SIGNATURE);
  });

  it.each<[string, unknown, string, string]>([
    ['null', null, 'INVALID_INPUT', '"shard" must be a sealed shard or its JSON text'],
    ['undefined', undefined, 'INVALID_INPUT', '"shard" must be a sealed shard or its JSON text'],
    ['a number', 5, 'INVALID_INPUT', '"shard" must be a sealed shard or its JSON text'],
    ['an array', [GOOD], 'INVALID_INPUT', '"shard" must be a sealed shard or its JSON text'],
    ['text that is not JSON', '{', 'SEAL_VERIFICATION_FAILED', `${NOT_GENUINE}its text is not strict JSON`],
    ['the text null', 'null', 'SEAL_VERIFICATION_FAILED', `${NOT_GENUINE}its text is not a JSON object`],
    ['the text of a number', '5', 'SEAL_VERIFICATION_FAILED', `${NOT_GENUINE}its text is not a JSON object`],
    ['the text of an array', '[]', 'SEAL_VERIFICATION_FAILED', `${NOT_GENUINE}its text is not a JSON object`],
    ...[undefined, null, ''].map((signature): [string, unknown, string, string] => [
      `the signature ${JSON.stringify(signature)}`,
      signature === undefined ? without('signature') : { ...GOOD, signature },
      'NOT_SEALED',
      'the handle has no signature: only what seal() returned can be verified',
    ]),
    [
      'a signature that is a number',
      { ...GOOD, signature: 5 },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}its signature is not text`,
    ],
    [
      'a short signature',
      { ...GOOD, signature: 'A'.repeat(42) },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}its signature is malformed`,
    ],
    [
      'a long signature',
      { ...GOOD, signature: 'A'.repeat(44) },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}its signature is malformed`,
    ],
    [
      'a signature that is not base64url',
      { ...GOOD, signature: '='.repeat(43) },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}its signature is malformed`,
    ],
    [
      'version 3',
      { ...GOOD, v: 3 },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}its version is neither 1 nor 2, the ones known here`,
    ],
    [
      'version 2 with the keys of version 1',
      { ...GOOD, v: 2 },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}the handle has no "layout"`,
    ],
    [
      'version 1 with a key of version 2',
      { ...GOOD, shared: false },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}the handle has an unknown key`,
    ],
    [
      'no version',
      without('v'),
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}its version is neither 1 nor 2, the ones known here`,
    ],
    [
      'a further key',
      { ...GOOD, extra: 1 },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}the handle has an unknown key`,
    ],
    [
      'a key from the prototype, as text',
      JSON.stringify(GOOD).replace('{', '{"__proto__":1,'),
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}the handle has an unknown key`,
    ],
    ...Object.keys(PAYLOAD)
      .filter((key) => key !== 'v' && key !== 'device')
      .map((key): [string, unknown, string, string] => [
        `no ${key}`,
        without(key),
        'SEAL_VERIFICATION_FAILED',
        `${NOT_GENUINE}the handle has no "${key}"`,
      ]),
    ['no device', without('device'), 'SEAL_VERIFICATION_FAILED', `${NOT_GENUINE}the handle has no "device"`],
    [
      'a device of null',
      { ...GOOD, device: null },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}"device" is not an object`,
    ],
    [
      'a device of text',
      { ...GOOD, device: 'host' },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}"device" is not an object`,
    ],
    [
      'a device without a name',
      { ...GOOD, device: { backend: 'host', index: 0, uuid: null } },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}"device" has no "name"`,
    ],
    [
      'a device with a further key',
      { ...GOOD, device: { ...GOOD.device, extra: 1 } },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}"device" has an unknown key`,
    ],
    [
      'a class instance',
      new (class Handle {})(),
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}it is not a plain object`,
    ],
    [
      'a symbol key',
      { ...GOOD, [Symbol('x')]: 1 },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}it has a symbol key`,
    ],
    [
      'an accessor',
      Object.defineProperty({ ...GOOD }, 'shardId', { get: () => 'x', enumerable: true }),
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}it has a property that is not a plain value`,
    ],
    [
      'a hidden property',
      Object.defineProperty({ ...GOOD }, 'shardId', { value: 'x', enumerable: false }),
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}it has a property that is not a plain value`,
    ],
    [
      'a key that is denied',
      lying(GOOD),
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}it has a property that is not a plain value`,
    ],
    ...[1.5, -0, 2 ** 53, Number.NaN].map((byteLength): [string, unknown, string, string] => [
      `the number ${Object.is(byteLength, -0) ? '-0' : byteLength}`,
      { ...GOOD, byteLength },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}it holds a number that is not a safe integer`,
    ]),
    ...[1n, [], () => 0, Symbol('x'), undefined].map((modelRef): [string, unknown, string, string] => [
      `a ${Array.isArray(modelRef) ? 'list' : typeof modelRef}`,
      { ...GOOD, modelRef },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}it holds a value that is not JSON`,
    ]),
    [
      'a device of a class',
      { ...GOOD, device: new (class Device {})() },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}it holds an object of a foreign class`,
    ],
    [
      'a date',
      { ...GOOD, sealedAt: new Date(0) },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}it holds an object of a foreign class`,
    ],
    [
      'a symbol in the device',
      { ...GOOD, device: { ...GOOD.device, [Symbol('x')]: 1 } },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}it has a hidden property`,
    ],
    [
      'a hidden name of the device',
      { ...GOOD, device: Object.defineProperty({ ...GOOD.device }, 'name', { enumerable: false }) },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}it has a hidden property`,
    ],
    [
      'a device that denies a key',
      { ...GOOD, device: lying(GOOD.device) },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}it has a hidden property`,
    ],
    ...[true, 1.5, -0, {}, undefined].map((index): [string, unknown, string, string] => [
      `the device index ${Object.is(index, -0) ? '-0' : String(index)}`,
      { ...GOOD, device: { ...GOOD.device, index } },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}it holds an object with a value of a wrong type`,
    ]),
    [
      'a lone surrogate',
      { ...GOOD, modelRef: '\ud800' },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}it holds what no seal can hold`,
    ],
    [
      'a seal id that is a number',
      { ...GOOD, sealId: 5 },
      'SEAL_VERIFICATION_FAILED',
      `${NOT_GENUINE}"sealId" is not text`,
    ],
  ])('%s', async (_name, handle, code, message) => {
    expect(await refusal(handle)).toMatchObject({ code, message });
  });

  it('a refusal keeps its cause where there is one, and has none where there is none', async () => {
    expect((await refusal('{')).cause).toMatchObject({ code: 'INVALID_INPUT' });
    expect((await refusal({ ...GOOD, modelRef: '\ud800' })).cause).toMatchObject({ code: 'INVALID_INPUT' });
    expect((await refusal({ ...GOOD, modelRef: '\ud800' })).cause).toMatchObject({
      message: '"shard.modelRef" must not contain lone surrogates',
    });
    const plain = await refusal({ ...GOOD, v: 2 });
    expect(plain.cause).toBeUndefined();
    expect(Object.hasOwn(plain, 'cause')).toBe(false);
  });

  it('a Mac that breaks is not taken for a forged handle', async () => {
    const broken: Mac = {
      sign: async () => new Uint8Array(32),
      verify: async () => {
        throw new TypeError('the key is gone');
      },
    };
    await expect(verifySignature(broken, GOOD)).rejects.toThrow(TypeError);
  });
});

describe('a handle with a genuine signature', () => {
  const payload = {
    v: 1,
    sealId: '00'.repeat(16),
    sealed: true,
    shardId: 'a',
    workerId: 'w',
    device: { backend: 'host', index: 0, name: 'n', uuid: null },
    byteLength: 1,
    sha256: null,
    fsverity: `fsverity-sha256-12:${'0'.repeat(64)}`,
    sealedAt: '2026-01-02T03:04:05.678Z',
    residency: 'host',
    immutability: 'api-only',
    emulated: false,
    modelRef: null,
    shardIndex: null,
    totalShards: null,
  };
  const { modelRef: _, ...incomplete } = payload;

  it.each<[string, object, boolean]>([
    ['as it should be', payload, true],
    ['over an unknown key', { ...payload, extra: 1 }, false],
    ['over an unknown key of the device', { ...payload, device: { ...payload.device, extra: 1 } }, false],
    ['over too few keys', incomplete, false],
    ['over another version', { ...payload, v: 2 }, false],
    ['over a device that is text', { ...payload, device: 'host' }, false],
    ['over a seal id that is a number', { ...payload, sealId: 5 }, false],
  ])('%s', async (_name, signed, accepted) => {
    const key = await deriveSealKey(nodeCrypto, new Uint8Array(16).fill(1), 'w');
    const body = canonicalBytes(signed);
    const signature = toBase64Url(await key.sign(preAuthEncoding(SEAL_PAYLOAD_TYPES[1], body)));
    const reading = verifySignature(key, { ...signed, signature });
    if (accepted) expect(await reading).toBe(payload.sealId);
    else await expect(reading).rejects.toMatchObject({ code: 'SEAL_VERIFICATION_FAILED' });
  });

  it('under another payload type is worth nothing', async () => {
    const key = await deriveSealKey(nodeCrypto, new Uint8Array(16).fill(1), 'w');
    const signature = toBase64Url(
      await key.sign(preAuthEncoding('application/json', canonicalBytes(payload))),
    );
    await expect(verifySignature(key, { ...payload, signature })).rejects.toMatchObject({
      code: 'SEAL_VERIFICATION_FAILED',
    });
  });
});

import { afterEach, describe, expect, expectTypeOf, it } from 'vitest';
import { checkOptions, type OptionKeys } from '../../../src/base/validate.js';
import { TRACE_KEYS } from '../../../src/events/operation.js';
import { telemetryObserver, verifyAttestation } from '../../../src/index.js';
import { DRILL_KEYS } from '../../../src/manager/drills/drill.js';
import type { VramManager } from '../../../src/manager/index.js';
import { VERIFY_KEYS } from '../../../src/manager/integrity/verify-options.js';
import { ATTEST_KEYS } from '../../../src/manager/operations/attest.js';
import { EXECUTE_KEYS } from '../../../src/manager/operations/execute.js';
import { MANAGER_KEYS } from '../../../src/manager/operations/open-options.js';
import { SCRUB_KEYS } from '../../../src/manager/operations/scrub.js';
import { SEAL_KEYS } from '../../../src/manager/operations/seal-request.js';
import { OPERATION_KEYS } from '../../../src/manager/state/operation-options.js';
import { narrationObserver } from '../../../src/narration/observer.js';
import { openAuditDirectory } from '../../../src/node/audit/directory.js';
import { pruneAudit } from '../../../src/node/audit/prune.js';
import { verifyAudit } from '../../../src/node/audit/verify.js';
import { openModel } from '../../../src/node/files/model-files.js';
import { openAttestationKey } from '../../../src/node/keys/attestation-key.js';
import type { SealedShard } from '../../../src/seal/sealed-shard.js';
import { bytesSource } from '../../../src/source/index.js';
import { failure, type Opened, openHost, pattern, Recorder } from './fixture.js';

const KEYS = { shardId: true, expected: true } as const;

function messageOf(value: unknown): string {
  try {
    checkOptions('options', value, KEYS);
  } catch (error) {
    expect(error).toMatchObject({ code: 'INVALID_INPUT', argument: 'options' });
    return error instanceof Error ? error.message : '';
  }
  return 'accepted';
}

describe('checkOptions', () => {
  it('accepts known keys, undefined ones too, and none at all', () => {
    for (const value of [{}, { shardId: 'a' }, { shardId: undefined, expected: undefined }]) {
      expect(messageOf(value)).toBe('accepted');
    }
  });

  it('refuses what is not an object', () => {
    for (const value of [undefined, null, 'shardId', 5, () => 0]) {
      expect(messageOf(value)).toBe('"options" must be an object');
    }
  });

  it('names an unknown key, also an undefined one, and what there is instead', () => {
    for (const value of [{ expectedDigest: 'sha256:secret' }, { shardId: 'a', expectedDigest: undefined }]) {
      expect(messageOf(value)).toBe('"options" has no option "expectedDigest"; it takes shardId, expected');
    }
    expect(messageOf(['a'])).toBe('"options" has no option "0"; it takes shardId, expected');
  });

  it('knows no key that every object has', () => {
    for (const key of ['toString', 'constructor', 'hasOwnProperty', '__proto__']) {
      expect(messageOf(JSON.parse(`{"${key}": 1}`))).toContain(`has no option "${key}"`);
    }
  });

  it('looks at own enumerable keys: instances of classes and objects made from defaults serve', () => {
    class Settings {
      shardId = 'a';
      #count = 1;
      get expected(): number {
        return this.#count;
      }
      describe(): string {
        return this.shardId;
      }
    }
    expect(messageOf(new Settings())).toBe('accepted');
    expect(messageOf(Object.create({ unknown: 1 }))).toBe('accepted');
    expect(messageOf(Object.defineProperty({}, 'hidden', { value: 1 }))).toBe('accepted');
    expect(messageOf({ [Symbol('note')]: 1 })).toBe('accepted');
    expect(messageOf(Object.assign(new Settings(), { note: 1 }))).toContain('"note"');
  });

  it('[IV-007] shows a key cut to 64 characters, and nothing of it that a terminal obeys', () => {
    expect(messageOf({ ['x'.repeat(64)]: 1 })).toContain(`"${'x'.repeat(64)}"; it`);
    expect(messageOf({ ['x'.repeat(65)]: 1 })).toContain(`"${'x'.repeat(64)}"...; it`);
    expect(messageOf({ ['x'.repeat(2 ** 20)]: 1 }).length).toBeLessThan(200);
    expect(messageOf({ 'a"\n\u001b[31m\u007f\u009b\u2028\u202e\ud800': 1 })).toContain(
      String.raw`"a\"\n\u001b[31m\u{7f}\u{9b}\u{2028}\u{202e}\ud800"`,
    );
  });

  it('takes no list of keys that does not match its interface', () => {
    interface Two {
      readonly one?: number;
      readonly two: string;
    }
    expectTypeOf({ one: true, two: true } as const).toExtend<OptionKeys<Two>>();
    expectTypeOf({ two: true } as const).not.toExtend<OptionKeys<Two>>();
    // @ts-expect-error there is no option three
    const more = { one: true, two: true, three: true } satisfies OptionKeys<Two>;
    expect(Object.keys(more)).toHaveLength(3);
  });
});

describe('a misspelt option', () => {
  const bytes = pattern(5000);
  const opened: Opened[] = [];
  afterEach(async () => {
    for (const { manager, device } of opened.splice(0)) {
      await manager.close();
      await device.close();
    }
  });

  const METHODS: readonly [
    name: string,
    operation: string | null,
    keys: Readonly<Record<string, true>>,
    call: (manager: VramManager, shard: SealedShard, options: never) => unknown,
  ][] = [
    ['seal', 'seal', SEAL_KEYS, (m, _, options) => m.seal(bytesSource(bytes), options)],
    ['verify', 'verify', VERIFY_KEYS, (m, shard, options) => m.verify(shard, options)],
    ['verifySet', 'verify', VERIFY_KEYS, (m, _, options) => m.verifySet('model', options)],
    ['execute', 'execute', EXECUTE_KEYS, (m, shard, options) => m.execute(shard, () => 0, options)],
    ['heal', 'heal', OPERATION_KEYS, (m, shard, options) => m.heal(shard, bytesSource(bytes), options)],
    ['drill', 'drill', DRILL_KEYS, (m, shard, options) => m.drill(shard, options)],
    ['attest', 'attest', ATTEST_KEYS, (m, shard, options) => m.attest(shard, options)],
    ['release', 'release', TRACE_KEYS, (m, shard, options) => m.release(shard, options)],
    ['capacity', 'capacity', TRACE_KEYS, (m, _, options) => m.capacity(options)],
    ['scrub', null, SCRUB_KEYS, (m, _, options) => m.scrub(options)],
  ];

  it.each(METHODS)('is refused by %s, told of, and changes nothing', async (_name, operation, keys, call) => {
    const one = await openHost();
    opened.push(one);
    const { manager, recorder } = one;
    const shard = await manager.seal(bytesSource(bytes), { modelRef: 'model' });
    const before = await manager.capacity();
    const options: Record<string, unknown> = {
      intervalMs: 1000,
      bytesPerSecond: 2 ** 30,
      nonce: bytes.slice(0, 16),
    };
    for (const key of Object.keys(options)) if (!Object.hasOwn(keys, key)) delete options[key];
    options['expectedDigest'] = 'sha256:00';
    recorder.events.length = 0;
    const error = await failure((async () => call(manager, shard, options as never))());
    expect(error).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'options',
      message: `"options" has no option "expectedDigest"; it takes ${Object.keys(keys).join(', ')}`,
    });
    if (operation !== null) {
      expect(recorder.types(operation)).toEqual([
        'operation.started',
        'validation.failed',
        'operation.finished',
      ]);
      expect(recorder.of('validation.failed')[0]).toMatchObject({ argument: 'options' });
    }
    expect(await manager.capacity()).toEqual(before);
    expect(await manager.verify(shard)).toMatchObject({ verified: true });
  });

  it('is refused by open, told of, and opens nothing', async () => {
    const recorder = new Recorder();
    const options: object = { polisy: 'any' };
    expect(await failure(openHost({ recorder, options }))).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'options',
      message: `"options" has no option "polisy"; it takes ${Object.keys(MANAGER_KEYS).join(', ')}`,
    });
    expect(recorder.types('open')).toEqual(['operation.started', 'validation.failed', 'operation.finished']);
  });

  it('is refused by the telemetry', () => {
    const options: object = { metricProvider: 1 };
    expect(() => telemetryObserver(options)).toThrow(
      '"options" has no option "metricProvider"; it takes tracerProvider, meterProvider',
    );
  });

  it.each<[string, string, (options: never) => unknown]>([
    ['verifyAttestation', 'check', (check) => verifyAttestation('{}', check)],
    ['verifyAudit', 'options', (options) => verifyAudit('nowhere', options)],
    ['pruneAudit', 'options', (options) => pruneAudit('nowhere', options)],
    ['openAuditDirectory', 'options', openAuditDirectory],
    ['openAttestationKey', 'options', openAttestationKey],
    ['openModel', 'options', (options) => openModel('nowhere', options)],
    ['narrationObserver', 'options', narrationObserver],
  ])('is refused by %s before anything else', async (_name, argument, call) => {
    const options: object = { nonse: 1 };
    expect(await failure((async () => call(options as never))())).toMatchObject({
      code: 'INVALID_INPUT',
      argument,
      message: expect.stringMatching(new RegExp(`^"${argument}" has no option "nonse"; it takes \\w+`)),
    });
  });

  it('a scrubber that is to heal says so with true or false', async () => {
    const one = await openHost();
    opened.push(one);
    const options: object = { intervalMs: 1000, bytesPerSecond: 2 ** 30, heal: 'true' };
    expect(await failure((async () => one.manager.scrub(options as never))())).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'heal',
    });
  });
});

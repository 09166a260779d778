import { inspect } from 'node:util';
import { expect } from 'vitest';
import { token } from '../../unit/manager/fixture.js';
import type { StepBook } from '../gherkin.js';
import { fsverityOf, sha256Of } from '../oracles.js';
import type { World } from '../world.js';

/** Root, count and canary of the runs of one verification. */
const IN_PLACE_READBACK_BYTES = 256;

/** What came of it. */
export function outcomeSteps(book: StepBook<World>): void {
  book.define('it succeeds', (world) => {
    expect(world.value).toBeDefined();
  });

  book.define('it is refused as {code}', (world, values) => {
    const { code, message } = world.refusal;
    expect([code, message]).toEqual([values.text(0), message]);
  });

  book.define('the refusal is {word}', (world, values) => {
    expect(world.refusal.kind).toBe(values.text(0));
  });

  book.define('the refusal names the argument {string}', (world, values) => {
    expect(world.refusal).toMatchObject({ argument: values.text(0) });
  });

  book.define('the refusal says {string}', (world, values) => {
    expect(world.refusal.message).toContain(values.text(0));
  });

  book.define('the refusal states the bytes needed and the bytes available', (world) => {
    const { neededBytes, availableBytes, message } = world.refusal;
    expect(neededBytes).toBeGreaterThan(availableBytes ?? Number.POSITIVE_INFINITY);
    expect(message).toContain(`${neededBytes} bytes`);
    expect(message).toContain(`${availableBytes} are available`);
  });

  book.define('{string} verifies', async (world, values) => {
    for (const name of values.text(0).split(', ')) {
      expect(await world.manager.verify(world.shard(name).handle)).toMatchObject({
        verified: true,
        shardId: name,
      });
    }
  });

  book.define('the verification was of the kind {string}', (world, values) => {
    const mode = values.text(0);
    const sampled = mode === 'sampled';
    expect(world.report).toMatchObject({ verified: !sampled, sampled, mode });
  });

  book.define('only a few bytes came back from the device', (world) => {
    expect(world.readbackBytes).toBeLessThanOrEqual(IN_PLACE_READBACK_BYTES);
  });

  book.define('all bytes of {string} came back from the device', (world, values) => {
    expect(world.readbackBytes).toBeGreaterThanOrEqual(world.shard(values.text(0)).bytes.length);
  });

  book.define('the work has run {int} time(s)', (world, values) => {
    expect(world.executions).toBe(values.number(0));
  });

  book.define('{string} is/are in quarantine', (world, values) => {
    expect(world.manager.status().quarantined.join(', ')).toBe(values.text(0));
  });

  book.define('no shard is in quarantine', (world) => {
    expect(world.manager.status().quarantined).toEqual([]);
  });

  book.define('{int} shard(s) is/are live', (world, values) => {
    expect(world.manager.status().liveShards).toBe(values.number(0));
  });

  book.define('{string} has the digests that sha256sum and fs-verity compute', (world, values) => {
    const { handle, bytes } = world.shard(values.text(0));
    expect(handle.sha256).toBe(sha256Of(bytes));
    expect(handle.fsverity).toBe(fsverityOf(bytes));
  });

  book.define('{string} and {string} have the same digests, but separate seals', (world, values) => {
    const [a, b] = [world.shard(values.text(0)).handle, world.shard(values.text(1)).handle];
    expect([a.sha256, a.fsverity]).toEqual([b.sha256, b.fsverity]);
    expect(a.sealId).not.toBe(b.sealId);
    expect(a.signature).not.toBe(b.signature);
  });

  book.define('the handle of {string} says:', (world, values) => {
    const handle = new Map<string, unknown>(Object.entries(world.shard(values.text(0)).handle.toJSON()));
    for (const [field = '', value = ''] of values.rows) {
      if (value === 'the class of this device')
        expect(handle.get(field)).toBe(world.manager.status().residency);
      else if (value === 'some text') expect(handle.get(field)).toMatch(/./);
      else if (value === 'yes or no') expect(handle.get(field)).toBeTypeOf('boolean');
      else if (value === 'this device') expect(handle.get(field)).toEqual(deviceOf(world));
      else expect([field, handle.get(field)]).toEqual([field, JSON.parse(value)]);
    }
    expect([...handle.keys()].sort()).toEqual(values.rows.map(([field]) => field).sort());
  });

  book.define('the device memory in use is that of the live shards', async (world) => {
    const { usedBytes } = await world.capacity();
    expect(usedBytes).toBe(world.expectedUsedBytes);
    expect(world.device.stats().liveBytes).toBe(world.expectedUsedBytes);
  });

  book.define('total memory is at least used and available together', async (world) => {
    const { totalBytes, usedBytes, availableBytes, source } = await world.capacity();
    if (totalBytes === null || availableBytes === null) {
      expect([totalBytes, source]).toEqual([null, 'none']);
      return;
    }
    expect(totalBytes).toBeGreaterThanOrEqual(usedBytes + availableBytes);
  });

  book.define('the worker is asked for its capacity', async (world) => {
    await world.attempt(() => world.capacity());
  });

  book.define('no memory is left', async (world) => {
    expect(await world.capacity()).toMatchObject({ availableBytes: 0 });
  });

  book.define('the memory was overwritten with zeros before it was freed', (world) => {
    expect(world.value).toMatchObject({ released: true, wiped: true });
  });

  book.define('nothing was left to release', (world) => {
    expect(world.value).toMatchObject({ released: false, freedBytes: 0 });
  });

  book.define('{int} release(s) wait(s) to be recorded', (world, values) => {
    expect(world.manager.status().unrecordedReleases).toBe(values.number(0));
  });

  book.define('the missing parts are {string}', (world, values) => {
    expect(world.refusal.report).toMatchObject({ missing: values.text(0).split(', ').map(Number) });
  });

  book.define('no sentence repeats the token', (world) => {
    const text = JSON.stringify(world.told.told);
    expect(text).toContain('[redacted]');
    expect(text).not.toContain(Buffer.from(token()).toString('hex').slice(0, 16));
  });

  book.define('the buffer that the token was given in is all zeros', (world) => {
    expect(world.givenToken.every((byte) => byte === 0)).toBe(true);
  });

  book.define(
    'no key, token, address or weight byte shows in anything that was given out or told',
    async (world) => {
      const everything = [
        world.manager,
        world.manager.status(),
        ...world.shown,
        ...world.recorder.events,
        ...world.told.told,
      ];
      const text = [...everything, ...(await world.records())]
        .map(
          (value) =>
            `${inspect(value, { depth: 12, showHidden: true, maxArrayLength: 1e5 })} ${JSON.stringify(value)}`,
        )
        .join('\n');
      // Something was looked at.
      expect(text.length).toBeGreaterThan(5000);
      const secret = Buffer.from(token());
      for (const form of [
        secret.toString('hex'),
        secret.toString('base64'),
        secret.toString('latin1'),
        secret.join(','),
      ]) {
        expect(text).not.toContain(form.slice(0, 10));
      }
      for (const { bytes } of world.shards.values()) {
        const head = Buffer.from(bytes.subarray(0, 16));
        for (const form of [
          head.toString('hex'),
          head.toString('base64').slice(0, 20),
          [...head].join(', '),
        ]) {
          expect(text).not.toContain(form);
        }
      }
      expect(text).not.toMatch(/0x[0-9a-f]{6,}/i);
      expect(text).not.toMatch(/Uint8Array|ArrayBuffer|Buffer\(|CryptoKey|devicePtr/);
    },
  );
}

function deviceOf(world: World): object {
  const { backend, index, name, uuid } = world.device.info;
  return { backend, index, name, uuid };
}

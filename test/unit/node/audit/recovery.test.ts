import { createHash } from 'node:crypto';
import { cp, readdir, readFile, rename, truncate, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { KeyRatchet } from '../../../../src/audit/format/keys.js';
import { toHex } from '../../../../src/base/hex.js';
import { type AuditPlatform, systemPlatform } from '../../../../src/node/audit/directory.js';
import { showAudit, verifyAudit } from '../../../../src/node/audit/index.js';
import { surveyLog } from '../../../../src/node/audit/survey-log.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { nodeFileSystem } from '../../../../src/node/files/file-system.js';
import { openKeyFile } from '../../../../src/node/keys/key-file.js';
import { emit, event, openLog, scratch, TOKEN, WORKER } from './support.js';

/** The real file system without waiting for the disk: these tests end no machine. */
const unsynced: AuditPlatform = {
  ...systemPlatform,
  fs: {
    ...nodeFileSystem,
    syncDirectory: async () => undefined,
    open: async (path, mode) => {
      const file = await nodeFileSystem.open(path, mode);
      return {
        write: (bytes, offset) => file.write(bytes, offset),
        read: (target, offset) => file.read(target, offset),
        size: () => file.size(),
        truncate: (length) => file.truncate(length),
        sync: async () => undefined,
        identity: () => file.identity(),
        close: () => file.close(),
      };
    },
  },
};

type Place = Awaited<ReturnType<typeof scratch>>;

interface Crashed {
  readonly place: Place;
  /** Name and bytes of the newest segment. */
  readonly name: string;
  readonly bytes: Buffer;
  /** End of each line, newline included. */
  readonly ends: readonly number[];
  /** Records under the checkpoint. */
  readonly covered: number;
}

/**
 * A log as a killed writer leaves it: `covered` records under the checkpoint (the opening one with them), `tail` after
 * it.
 */
async function crashed(covered: number, tail: number): Promise<Crashed> {
  const place = await scratch();
  const log = await openLog({ ...place, dir: join(place.root, 'live') }, {}, unsynced);
  for (let i = 1; i < covered; i++) emit(log, event('manager.stopped'));
  await log.head();
  for (let i = 0; i < tail; i++) await log.observer.on(event('manager.stopped'));
  await copyDead(log.dir, place.dir);
  await log.close();
  const name = (await readdir(place.dir)).find((each) => each.endsWith('.ndjson')) ?? '';
  const bytes = await readFile(join(place.dir, name));
  const ends = [...bytes].flatMap((byte, index) => (byte === 0x0a ? [index + 1] : []));
  return { place, name, bytes, ends, covered };
}

/** Copies a live log's files, with a lock whose holder is no more. */
async function copyDead(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true });
  for (const name of await readdir(to)) {
    if (!name.startsWith('lock.')) continue;
    const lock = JSON.parse(await readFile(join(to, name), 'utf8')) as object;
    await writeFile(join(to, name), JSON.stringify({ ...lock, pid: 2 ** 22 + 1, startTime: '1' }));
  }
}

/** A copy of the log, with the same key. */
async function copyOf(place: Place): Promise<Place> {
  const copy = await scratch();
  await cp(place.dir, copy.dir, { recursive: true });
  return { ...copy, keyFile: place.keyFile };
}

async function survey(place: Place) {
  const signer = await openKeyFile(place.keyFile, { logDirectory: place.dir });
  const context = {
    fs: nodeFileSystem,
    dir: place.dir,
    crypto: nodeCrypto,
    token: TOKEN,
    workerId: WORKER,
    signer,
    expectedLogId: null,
  };
  return surveyLog(context);
}

async function fingerprint(dir: string): Promise<string> {
  const hash = createHash('sha256');
  for (const name of (await readdir(dir)).sort()) {
    if (!name.startsWith('lock.')) hash.update(name).update(await readFile(join(dir, name)));
  }
  return hash.digest('hex');
}

async function typesOf(dir: string): Promise<string[]> {
  const types: string[] = [];
  for await (const record of showAudit(dir)) types.push(record.type);
  return types;
}

describe('opening after a crash', () => {
  it('[AU-002] cut at every byte: what no crash can explain is refused, the rest goes on', async () => {
    const { place, name, bytes, ends, covered } = await crashed(2, 2);
    const path = join(place.dir, name);
    const coveredEnd = ends[covered - 1] ?? 0;
    for (let length = bytes.length; length >= 0; length--) {
      await truncate(path, length);
      // Without its newline the last covered record is whole: it only lacks what makes it a line.
      if (length < coveredEnd - 1) {
        await expect(survey(place), `cut at ${length}`).rejects.toMatchObject({ code: 'AUDIT_CORRUPT' });
      } else {
        const found = await survey(place);
        const whole = ends.filter((end) => end <= length).length;
        const newlineMissing = ends.includes(length + 1);
        expect(found.state.tree.end, `cut at ${length}`).toBe(whole + (newlineMissing ? 1 : 0));
        expect(found.newlineMissing).toBe(newlineMissing);
        const rest = length - (ends[whole - 1] ?? 0);
        expect(found.torn?.bytes ?? 0).toBe(newlineMissing ? 0 : rest);
      }
    }
  }, 60_000);

  it('[AU-002] mends a torn end at many places, saves it, records it, and the log verifies', async () => {
    const { place, name, bytes, ends, covered } = await crashed(2, 2);
    const start = ends[covered - 1] ?? 0;
    const lengths = [
      start - 1,
      start,
      start + 1,
      ends[2] ?? 0,
      (ends[2] ?? 0) - 1,
      (ends[2] ?? 0) + 200,
      bytes.length - 2,
    ];
    for (const length of lengths) {
      const root = await scratch();
      const copy = { ...root, keyFile: place.keyFile };
      await cp(place.dir, copy.dir, { recursive: true });
      await truncate(join(copy.dir, name), length);
      const log = await openLog(copy, {}, unsynced);
      await log.observer.on(event('vram.sealed'));
      await log.close();
      const report = await verifyAudit(copy.dir, { token: TOKEN, keyFile: copy.keyFile });
      expect(report.bad, `cut at ${length}`).toBeNull();
      const types = await typesOf(copy.dir);
      expect(types.slice(-4)).toEqual(['audit.opened', 'audit.recovered', 'vram.sealed', 'audit.closed']);
      const whole = ends.filter((end) => end <= length + 1).length;
      expect(types).toHaveLength(whole + 4);
      const torn = (await readdir(copy.dir)).filter((each) => each.startsWith('torn-'));
      const rest = length - (ends[whole - 1] ?? 0);
      if (rest <= 0) expect(torn).toEqual([]);
      else {
        expect(torn).toEqual([`torn-${String(whole).padStart(16, '0')}.bin`]);
        expect(await readFile(join(copy.dir, torn[0] ?? ''))).toEqual(bytes.subarray(length - rest, length));
      }
    }
  }, 60_000);

  it('[AU-002] every byte of the covered records flipped: refused, and nothing is changed', async () => {
    const { place, name, bytes, ends, covered } = await crashed(2, 1);
    const path = join(place.dir, name);
    for (let at = 0; at < (ends[covered - 1] ?? 0); at++) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
      await writeFile(path, flipped);
      if (at === (ends[covered - 1] ?? 0) - 1) continue;
      await expect(survey(place), `byte ${at}`).rejects.toMatchObject({ code: 'AUDIT_CORRUPT' });
    }
    await writeFile(path, Buffer.concat([bytes.subarray(0, 30), bytes.subarray(31)]));
    const before = await fingerprint(place.dir);
    await expect(openLog(place)).rejects.toMatchObject({ code: 'AUDIT_CORRUPT', scope: 'manager' });
    expect(await fingerprint(place.dir)).toBe(before);
  }, 60_000);

  it('a damaged record with a genuine one behind it is refused; rubble alone is cut', async () => {
    const { place, name, bytes, ends } = await crashed(2, 3);
    const path = join(place.dir, name);
    const damaged = Buffer.from(bytes);
    damaged[(ends[1] ?? 0) + 40] = 0x20;
    await writeFile(path, damaged);
    await expect(survey(place)).rejects.toThrow('genuine records follow');
    for (const hole of [100, 5_000, 200_000]) {
      // A hole that a file system may leave: zeros where a page was not written, then a genuine line.
      await writeFile(
        path,
        Buffer.concat([
          bytes.subarray(0, ends[2]),
          Buffer.alloc(hole),
          Buffer.from('\n'),
          bytes.subarray(ends[3]),
        ]),
      );
      await expect(survey(place)).rejects.toThrow('genuine records follow');
    }
    const gone = Buffer.concat([bytes.subarray(0, ends[2]), bytes.subarray(ends[3])]);
    await writeFile(path, gone);
    await expect(survey(place)).rejects.toThrow('genuine records follow');
    await writeFile(
      path,
      Buffer.concat([bytes.subarray(0, ends[2]), Buffer.alloc(90_000), Buffer.from('\nrubble\n')]),
    );
    expect(await survey(place)).toMatchObject({ torn: { seq: 3, bytes: 90_008 } });
  });

  it('without its checkpoint, or with one that is not ours, it is refused', async () => {
    const { place } = await crashed(2, 1);
    const path = join(place.dir, 'checkpoint');
    const note = await readFile(path, 'utf8');
    await unlink(path);
    await expect(openLog(place)).rejects.toThrow('its checkpoint is missing');
    await writeFile(path, note.replace('\n2\n', '\n1\n'));
    await expect(openLog(place)).rejects.toThrow('not signed by the key');
    await writeFile(path, 'nonsense');
    await expect(openLog(place)).rejects.toMatchObject({ code: 'AUDIT_CORRUPT' });
    await writeFile(path, note);
    await unlink(place.keyFile);
    await expect(openLog(place)).rejects.toThrow('was the key file replaced?');
  });

  it('with another token or for another worker it is refused', async () => {
    const { place } = await crashed(2, 1);
    await expect(openLog(place, { token: new Uint8Array(32).fill(1) })).rejects.toMatchObject({
      code: 'AUDIT_CORRUPT',
    });
    await expect(openLog(place, { workerId: 'someone-else' })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'workerId',
    });
    await expect(openLog(place, { token: new Uint8Array(15).fill(1) })).rejects.toMatchObject({
      argument: 'token',
    });
    await expect(openLog(place, { token: new Uint8Array(32) })).rejects.toMatchObject({ argument: 'token' });
  });

  it('a crash before or in record 0 leaves a log that begins anew', async () => {
    for (const content of ['', '{"correlationId":null,"da']) {
      const place = await scratch();
      await nodeFileSystem.makeDirectory(place.dir);
      await writeFile(join(place.dir, '0000000000000000-2026-01-31.ndjson'), content);
      const log = await openLog(place);
      await log.close();
      expect(await typesOf(place.dir)).toEqual(['audit.opened', 'audit.recovered', 'audit.closed']);
      const torn = (await readdir(place.dir)).filter((name) => name.startsWith('torn-'));
      expect(torn).toEqual(content === '' ? [] : ['torn-0000000000000000.bin']);
      expect((await verifyAudit(place.dir, { token: TOKEN, keyFile: place.keyFile })).ok).toBe(true);
    }
  });

  it('a crash after record 0 and before the first checkpoint goes on with the same log', async () => {
    const { place, name, bytes, ends } = await crashed(2, 0);
    await unlink(join(place.dir, 'checkpoint'));
    await writeFile(join(place.dir, name), bytes.subarray(0, ends[0]));
    const log = await openLog(place);
    await log.close();
    expect(await typesOf(place.dir)).toEqual([
      'audit.opened',
      'audit.opened',
      'audit.recovered',
      'audit.closed',
    ]);
  });

  it('a crash right after a segment was made goes on in the one before, or in its place', async () => {
    const place = await scratch();
    const log = await openLog(place, { maxSegmentBytes: 2_000 }, unsynced);
    for (let i = 0; i < 9; i++) await log.observer.on(event('vram.sealed'));
    await log.close();
    const next = (await typesOf(place.dir)).length;
    await writeFile(join(place.dir, `${String(next).padStart(16, '0')}-2030-01-01.ndjson`), '');
    const again = await openLog(place, { maxSegmentBytes: 2_000 }, unsynced);
    await again.close();
    expect((await verifyAudit(place.dir, { token: TOKEN, keyFile: place.keyFile })).bad).toBeNull();
    expect((await readdir(place.dir)).some((name) => name.includes('2030'))).toBe(false);
  });

  it('an earlier segment removed, renamed or put out of order is refused; damage in it is found by verifyAll', async () => {
    const place = await scratch();
    const log = await openLog(place, { maxSegmentBytes: 2_000 }, unsynced);
    for (let i = 0; i < 12; i++) await log.observer.on(event('vram.sealed'));
    await log.close();
    const segments = (await readdir(place.dir)).filter((name) => name.endsWith('.ndjson')).sort();
    expect(segments.length).toBeGreaterThan(3);
    const path = (index: number) => join(place.dir, segments[index] ?? '');
    await rename(path(0), `${path(0)}.away`);
    await expect(survey(place)).rejects.toMatchObject({ code: 'AUDIT_CORRUPT' });
    await rename(`${path(0)}.away`, path(0));
    const content = await readFile(path(1));
    await writeFile(path(1), content.toString().replace('shard-1', 'shard-2'));
    expect((await survey(place)).state.tree.end).toBe(14);
    await expect(openLog(place, { verifyAll: true })).rejects.toMatchObject({ code: 'AUDIT_CORRUPT' });
    await writeFile(path(1), content);
    await unlink(join(place.dir, 'frontier.json'));
    expect((await survey(place)).state.tree.end).toBe(14);
  });

  it('a damaged frontier is not the log: the whole log is read instead, and its damage found', async () => {
    const place = await scratch();
    const log = await openLog(place, { maxSegmentBytes: 2_000 }, unsynced);
    for (let i = 0; i < 12; i++) await log.observer.on(event('vram.sealed'));
    await log.close();
    const path = join(place.dir, 'frontier.json');
    const frontier = JSON.parse(await readFile(path, 'utf8')) as {
      prev: string;
      hashes: string[];
      epoch: number;
    };
    for (const lie of [
      { ...frontier, prev: 'ab'.repeat(32) },
      { ...frontier, hashes: frontier.hashes.map(() => Buffer.alloc(32).toString('base64')) },
      { ...frontier, epoch: frontier.epoch + 1 },
      { ...frontier, epoch: 2 ** 40 },
      { ...frontier, hashes: [] },
      { v: 1 },
    ]) {
      await writeFile(path, JSON.stringify(lie));
      expect((await survey(place)).state.tree.end, JSON.stringify(lie)).toBe(14);
      await (await openLog(await copyOf(place), {}, unsynced)).close();
    }
    await writeFile(path, JSON.stringify({ ...frontier, prev: 'ab'.repeat(32) }));
    const [first = ''] = (await readdir(place.dir)).filter((name) => name.endsWith('.ndjson')).sort();
    const segment = join(place.dir, first);
    await writeFile(segment, (await readFile(segment, 'utf8')).replace('"resumed":false', '"resumed":true'));
    await expect(survey(place)).rejects.toMatchObject({ code: 'AUDIT_CORRUPT' });
  });
});

describe('keys', () => {
  it('[CI-006] lie outside the log, private, and are refused otherwise', async () => {
    const place = await scratch();
    await nodeFileSystem.makeDirectory(place.dir);
    await expect(openLog({ ...place, keyFile: join(place.dir, 'key') })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'keyFile',
    });
    const log = await openLog(place);
    await log.close();
    const { chmod, stat } = await import('node:fs/promises');
    expect((await stat(place.keyFile)).mode & 0o777).toBe(0o600);
    await chmod(place.keyFile, 0o640);
    await expect(openLog(place)).rejects.toThrow('chmod 600');
    await chmod(place.keyFile, 0o600);
    await writeFile(place.keyFile, 'no key');
    await expect(openLog(place)).rejects.toMatchObject({ argument: 'keyFile' });
  });

  it('[CI-006] neither token nor private key is in any file of the log', async () => {
    const place = await scratch();
    const log = await openLog(place);
    await log.observer.on(event('vram.sealed'));
    await log.close();
    const pem = await readFile(place.keyFile, 'utf8');
    const secret = pem.split('\n')[1] ?? '';
    for (const name of await readdir(place.dir)) {
      const content = await readFile(join(place.dir, name), 'latin1');
      expect(content).not.toContain(Buffer.from(TOKEN).toString('latin1'));
      expect(content).not.toContain(secret);
      expect(content).not.toContain(Buffer.from(secret, 'base64').subarray(-32).toString('hex'));
    }
  });

  it('a ratchet zeroes each chain key that it passes, and never goes back', async () => {
    const passed: Uint8Array[] = [];
    const crypto = {
      ...nodeCrypto,
      hkdf: async (ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number) => {
        if (new TextDecoder().decode(info) === 'audit/ratchet/v1') passed.push(ikm);
        return nodeCrypto.hkdf(ikm, salt, info, length);
      },
    };
    const ratchet = await KeyRatchet.fromToken(crypto, TOKEN, WORKER, '00'.repeat(16));
    await ratchet.advanceTo(3);
    expect(passed).toHaveLength(3);
    for (const key of passed) expect(toHex(key)).toBe('00'.repeat(32));
    await expect(ratchet.advanceTo(2)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    await expect(ratchet.advanceTo(2 ** 40)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  });
});

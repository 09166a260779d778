import { createHash } from 'node:crypto';
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Tokens } from '../../../src/worker/http/index.js';

const READ = 'r'.repeat(32);
const ADMIN = `!${'a'.repeat(62)}~`;
const OTHER = 'o'.repeat(32);

let folder: string;
let now: number;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vram-tokens-'));
  now = 0;
});
afterEach(() => rm(folder, { recursive: true }));

const at = (name: string) => join(folder, name);

function write(name: string, text: string): Promise<void> {
  return writeFile(at(name), text, { mode: 0o600 });
}

function open(paths: Parameters<typeof Tokens.open>[0]): Promise<Tokens> {
  return Tokens.open(paths, () => now);
}

describe('the tokens of a worker', () => {
  it('give the role of their file, and six digits that tell them apart', async () => {
    await write('read', READ);
    await write('admin', `${ADMIN}\n\n${OTHER}\n`);
    const tokens = await open({ read: at('read'), admin: at('admin') });
    expect(tokens.isEmpty).toBe(false);
    const digest = createHash('sha256').update(READ).digest();
    expect(await tokens.callerOf(READ)).toEqual({
      role: 'read',
      fingerprint: digest.toString('hex').slice(0, 6),
    });
    expect(tokens.digestOf(READ)).toEqual(digest);
    expect(await tokens.callerOfDigest(digest)).toMatchObject({ role: 'read' });
    for (const token of [ADMIN, OTHER]) expect(await tokens.callerOf(token)).toMatchObject({ role: 'admin' });
    for (const token of ['', READ.slice(1), `${READ}r`]) expect(await tokens.callerOf(token)).toBeNull();
    expect((await open({})).isEmpty).toBe(true);
  });

  it('that stand in two files have the greater role', async () => {
    await write('read', READ);
    await write('admin', READ);
    const tokens = await open({ read: at('read'), admin: at('admin') });
    expect(await tokens.callerOf(READ)).toMatchObject({ role: 'admin' });
  });

  it('are read again once a second where their file has changed, and only then', async () => {
    await write('read', READ);
    const tokens = await open({ read: at('read') });
    expect(await tokens.callerOf(READ)).not.toBeNull();
    await write('read', OTHER);
    now += 999;
    expect(await tokens.callerOf(READ)).not.toBeNull();
    expect(await tokens.callerOf(OTHER)).toBeNull();
    now += 1;
    expect(await tokens.callerOf(READ)).toBeNull();
    expect(await tokens.callerOf(OTHER)).not.toBeNull();
    // The second begins with that look.
    await write('read', READ);
    now += 999;
    expect(await tokens.callerOf(READ)).toBeNull();
    // Of the same size, with the same times as far as they can be set.
    now += 1;
    await utimes(at('read'), 1, 1);
    expect(await tokens.callerOf(READ)).not.toBeNull();
  });

  it('of a file that cannot be read any more admit nobody, until it can', async () => {
    await write('read', READ);
    const tokens = await open({ read: at('read') });
    for (const text of ['short', READ]) {
      await write('read', text);
      now += 1_000;
      expect((await tokens.callerOf(READ)) !== null, text).toBe(text === READ);
    }
    await rm(at('read'));
    now += 1_000;
    expect(await tokens.callerOf(READ)).toBeNull();
    await write('read', READ);
    now += 1_000;
    expect(await tokens.callerOf(READ)).not.toBeNull();
  });

  it.each([
    ['', 'nothing'],
    ['\n \n', 'blank lines'],
    ['r'.repeat(31), 'a token of 31 characters'],
    [`${READ}\n${OTHER}\n${ADMIN}`, 'three tokens'],
    [`${READ}\nshort`, 'one that is short'],
    [`${READ} x`, 'a space'],
    [`${READ}\u00e9`, 'what is not ASCII'],
    [`${READ}\u007f`, 'a control character'],
  ])('are not %j: %s', async (text) => {
    await write('read', text);
    await expect(open({ read: at('read') })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'tokens.read',
      message: '"tokens.read" must hold one or two lines, each a token of at least 32 printable characters',
    });
  });

  it('are not in a file that is missing or too long', async () => {
    await expect(open({ execute: at('none') })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'tokens.execute',
      message: expect.stringContaining('cannot be read'),
    });
    await write('read', 'r'.repeat(4_097));
    await expect(open({ read: at('read') })).rejects.toMatchObject({ argument: 'tokens.read' });
    await write('read', 'r'.repeat(4_096));
    expect((await open({ read: at('read') })).isEmpty).toBe(false);
  });
});

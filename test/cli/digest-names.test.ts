import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { digestLine } from '../../src/cli/digest-line.js';
import { parseExpected } from '../../src/models/index.js';
import { cli } from '../support/cli.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'names-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const DIGEST = `fsverity-sha256-12:${'ab'.repeat(32)}`;
const NAMES: readonly (readonly [string, string])[] = [
  ['a joiner', 'a\u200db'],
  ['a soft hyphen', 'a\u00adb'],
  ['a byte order mark', '\ufeffab'],
  ['a private use character', 'a\ue000b'],
  ['a right-to-left override', 'a\u202eb'],
  ['a line separator', 'a\u2028b'],
  ['a backslash', 'a\\nb'],
  ['a newline', 'a\nb'],
  ['a carriage return at its end', 'ab\r'],
  ['spaces around it', ' ab '],
];

it.each(NAMES)('what digest prints of a name with %s is read back by --expect', async (_, name) => {
  const path = join(folder, name);
  writeFileSync(path, 'weights');
  const { code, stdout, stderr } = await cli(['digest', path]);
  expect([code, stderr]).toEqual([0, '']);
  const list = parseExpected(stdout);
  expect(list.names).toEqual([path]);
  expect(list.for(path).digest).toMatch(/^fsverity-sha256-12:/);
  // Others come first, as the second line of a list.
  expect(parseExpected(digestLine(DIGEST, 'other') + stdout).names).toEqual(['other', path]);
});

it('check takes the list, also of names with characters that are not seen', async () => {
  const path = join(folder, 'a\u200d\u00ad\ue000b.bin');
  writeFileSync(path, 'weights');
  const list = join(folder, 'list');
  writeFileSync(list, (await cli(['digest', path])).stdout);
  expect((await cli(['check', '--device', 'host', path, '--expect', list])).code).toBe(0);
});

it('on a terminal such a name is shown with escapes and a note, and a plain one as it is', async () => {
  const path = join(folder, 'a\u200db');
  writeFileSync(path, 'weights');
  const shown = await cli(['digest', path], { io: { stdoutIsTerminal: true } });
  expect(shown.stdout).toContain('a\\u{200d}b');
  expect(shown.stderr).toContain('note: ');
  const plain = join(folder, 'plain');
  writeFileSync(plain, 'weights');
  expect((await cli(['digest', plain], { io: { stdoutIsTerminal: true } })).stderr).toBe('');
});

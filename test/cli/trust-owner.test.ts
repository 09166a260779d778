import { chown, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { cli } from '../support/cli.js';

const STRANGER = 54_321;
const isRoot = process.geteuid?.() === 0;
const needsRoot = isRoot ? '' : ' (NOT RUN: only root can give files to another user)';

let folder: string;
let place: Readonly<Record<string, string>>;

/** Words that stand for files of the test's folder. */
function placed(args: readonly string[]): string[] {
  return args.map((arg) => (arg.startsWith('@') ? (place[arg.slice(1)] ?? arg) : arg));
}

/** As on a volume on which everything belongs to one user. */
async function giveAway(path: string): Promise<void> {
  await chown(path, STRANGER, STRANGER);
  const names = await readdir(path).catch(() => []);
  for (const name of names) await giveAway(join(path, name));
}

describe.skipIf(!isRoot)(`files and directories of another user${needsRoot}`, () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vram-owner-'));
    const at = (name: string): string => join(folder, 'volume', name);
    place = {
      weights: join(folder, 'weights.bin'),
      token: at('token'),
      log: at('log'),
      key: at('state/vram-residency/checkpoint-cli.key'),
      proof: join(folder, 'proof.json'),
      tiles: at('tiles'),
    };
    vi.stubEnv('XDG_STATE_HOME', at('state'));
    await mkdir(at('tiles'), { recursive: true });
    await writeFile(join(folder, 'weights.bin'), new Uint8Array(8192).fill(7));
    await writeFile(at('token'), 'correct horse battery staple', { mode: 0o600 });
    const made = await cli(placed(['check', '@weights', '--audit', '@log', '--token-file', '@token']));
    expect(made.code).toBe(0);
    await writeFile(
      join(folder, 'proof.json'),
      (await cli(placed(['audit', 'prove', '@log', '--seq', '0']))).stdout,
    );
    expect((await cli(['attest', 'key'])).code).toBe(0);
    await giveAway(join(folder, 'volume'));
  });

  afterAll(async () => {
    vi.unstubAllEnvs();
    await rm(folder, { recursive: true });
  });

  it.each<[string, readonly string[]]>([
    ['a token', ['check', '@weights', '--token-file', '@token']],
    ['the token of a drill', ['drill', '@weights', '--flips', '1', '--token-file', '@token']],
    ['the token of a self-test', ['selftest', '--device', 'host', '--token-file', '@token']],
    ['an attestation key', ['attest', 'key']],
    ['the key of a statement', ['attest', 'make', '@weights', '--nonce', '00'.repeat(16)]],
    ["the writer's key", ['audit', 'key', '@log']],
    ["the verifier's own key", ['audit', 'verify', '@log']],
    ['a key file', ['audit', 'verify', '@log', '--key-file', '@key']],
    ['the token of a verification', ['audit', 'verify', '@log', '--token-file', '@token']],
    ['the key file of a proof', ['audit', 'verify-proof', '@proof', '--key-file', '@key']],
    ['what prunes', ['audit', 'prune', '@log', '--token-file', '@token']],
    ['the target of an export', ['audit', 'export', '@log', '@tiles']],
    ['a log', ['check', '@weights', '--token-file', '@token', '--audit', '@log']],
  ])(
    '[CI-006] %s is refused with the option that trusts that user, and taken with it',
    async (_what, args) => {
      const refused = await cli(placed(args));
      expect(refused.code).toBe(2);
      expect(refused.stderr).toContain(`belongs to another user (uid ${STRANGER}); give it to yours (chown)`);
      expect(refused.stderr).toContain(`--trust-owner ${STRANGER}`);
      const other = await cli(placed([...args, '--trust-owner', String(STRANGER + 1)]));
      expect(other.code).toBe(2);
      const taken = await cli(placed([...args, '--trust-owner', String(STRANGER)]));
      expect([taken.code, taken.stderr]).toEqual([0, expect.any(String)]);
    },
  );
});

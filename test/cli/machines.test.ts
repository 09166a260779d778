import { spawn } from 'node:child_process';
import { chmod, chown, copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeCuda } from '../cuda/testbed.js';
import { type CliResult, cli, ended } from '../support/cli.js';
import { bare, MAIN, NOBODY_KNOWN, noMounts, noOtherUser, shell } from '../support/machine.js';

let folder: string;
let weights: string;
let token: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vram-machines-'));
  await chmod(folder, 0o755);
  weights = join(folder, 'weights.bin');
  token = join(folder, 'token');
  await writeFile(weights, new Uint8Array(8192).fill(7));
  await writeFile(token, 'correct horse battery staple', { mode: 0o600 });
  await mkdir(join(folder, 'mount'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

const NONCE = ['--nonce', '00'.repeat(16)];

/** An expected failure: never 70, never a signal. */
function expectFailure({ code, stderr }: CliResult, expected: number, ...said: readonly string[]): void {
  expect({ code, stderr }).toMatchObject({ code: expected, stderr: expect.stringContaining('error: ') });
  expect(stderr).not.toContain('internal error');
  for (const each of said) expect(stderr).toContain(each);
}

const otherUser = noOtherUser();

describe.skipIf(otherUser !== null)(
  `a user without a passwd entry and without HOME${otherUser === null ? '' : ` (NOT RUN: ${otherUser})`}`,
  () => {
    const as = { uid: NOBODY_KNOWN, gid: NOBODY_KNOWN };
    let own: string;

    beforeAll(async () => {
      own = join(folder, 'own');
      await mkdir(own);
      await copyFile(token, join(own, 'token'));
      for (const path of [own, join(own, 'token')]) await chown(path, NOBODY_KNOWN, NOBODY_KNOWN);
    });

    it.each<[string, readonly string[]]>([
      ['attest key', ['attest', 'key']],
      ['attest make', ['attest', 'make', '@weights', ...NONCE]],
      ['check --audit', ['check', '@weights', '--audit', '@own/log', '--token-file', '@own/token']],
    ])(
      '%s says that there is no default place for the key, and which variable names one',
      async (_name, args) => {
        const words = args.map((arg) => arg.replace('@own', own).replace('@weights', weights));
        expectFailure(await bare(words, {}, as), 2, 'this user has no home directory', 'XDG_STATE_HOME');
        const state = join(own, 'state');
        const served = await bare(words, { XDG_STATE_HOME: state }, as);
        expect([served.code, served.stderr]).toEqual([0, expect.any(String)]);
      },
    );

    it('check, digest, audit verify and audit show need none', async () => {
      const log = join(own, 'read');
      const secret = ['--token-file', join(own, 'token')];
      const made = await bare(
        ['check', weights, '--audit', log, ...secret],
        { XDG_STATE_HOME: join(own, 'state') },
        as,
      );
      expect(made.code).toBe(0);
      for (const words of [
        ['check', weights],
        ['digest', weights],
        ['audit', 'verify', log, ...secret],
        ['audit', 'show', log],
      ])
        expect(await bare(words, {}, as)).toMatchObject({ code: 0 });
      expectFailure(await bare(['audit', 'key', log], {}, as), 2, 'XDG_STATE_HOME');
    });

    it('a state directory that it may not write is named with the cause', async () => {
      const state = join(folder, 'state');
      await mkdir(state);
      for (const words of [
        ['attest', 'key'],
        ['attest', 'make', weights, ...NONCE],
      ])
        expectFailure(await bare(words, { XDG_STATE_HOME: state }, as), 2, 'EACCES', state, 'XDG_STATE_HOME');
    });
  },
);

describe('a home that is none', () => {
  it.each([
    ['is empty', '', 'no home directory'],
    ['is relative', 'home', 'no home directory'],
    ['is not there and cannot be made', '/proc/nowhere', '/proc/nowhere'],
    ['is where nothing can be made', '/proc', '/proc/.local'],
  ])('that %s', async (_name, home, said) => {
    expectFailure(await bare(['attest', 'key'], { HOME: home }), 2, said, 'XDG_STATE_HOME');
  });
});

const mounts = noMounts();

describe.skipIf(mounts !== null)(`a disk${mounts === null ? '' : ` (NOT RUN: ${mounts})`}`, () => {
  const full = (words: string): string =>
    `mount -t tmpfs -o size=16k,mode=755 none ${folder}/mount && cd ${folder}/mount &&
     { head -c 16384 /dev/zero > fill 2>/dev/null; ${words}; code=$?; rm fill; ls -A; exit $code; }`;

  it('that is full: a private key is not made, and nothing is left of it', async () => {
    const env = { XDG_STATE_HOME: join(folder, 'mount') };
    for (const words of ['$RUN attest key', `$RUN attest make ${weights} ${NONCE.join(' ')}`]) {
      const made = await shell(full(words), env);
      expectFailure(made, 2, 'ENOSPC', join(folder, 'mount', 'vram-residency'), 'XDG_STATE_HOME');
      const left = await shell(full(`${words}; ls -A vram-residency`), env);
      expect(left.stdout).toBe('vram-residency\n');
    }
  });

  it('that is full: --out leaves no file', async () => {
    const env = { XDG_STATE_HOME: join(folder, 'out-state') };
    const made = await shell(full(`$RUN attest make ${weights} ${NONCE.join(' ')} --out out.json`), env);
    expectFailure(made, 2, '--out "out.json" cannot be written: ENOSPC');
    expect(made.stdout).toBe('');
  });

  it('that is full: no log is begun', async () => {
    const env = { XDG_STATE_HOME: join(folder, 'log-state') };
    const made = await shell(full(`$RUN check ${weights} --audit log --token-file ${token}`), env);
    expectFailure(made, 6, 'ENOSPC', `${folder}/mount/log/`);
  });

  it('that fills while a log is written, and while one is exported', async () => {
    const env = { XDG_STATE_HOME: join(folder, 'log-state') };
    const room = `mount -t tmpfs -o size=24k,mode=755 none ${folder}/mount && cd ${folder}/mount`;
    const made = await shell(
      `${room} && $RUN check ${weights} ${weights} ${weights} ${weights} ${weights} ${weights} ${weights} --audit log ` +
        `--token-file ${token}`,
      env,
    );
    expectFailure(made, 6, 'ENOSPC', `${folder}/mount/log/`);
    const log = join(folder, 'log');
    expect((await bare(['check', weights, '--audit', log, '--token-file', token], env)).code).toBe(0);
    const exported = await shell(full(`$RUN audit export ${log} tiles`), env);
    expectFailure(exported, 6, 'cannot be exported: ENOSPC', 'tiles/');
  });

  it('that is read-only', async () => {
    const room = `mount -t tmpfs -o ro none ${folder}/mount && cd ${folder}/mount`;
    const env = { XDG_STATE_HOME: join(folder, 'mount') };
    expectFailure(
      await shell(`${room} && $RUN attest key`, env),
      2,
      'EROFS',
      env.XDG_STATE_HOME,
      'XDG_STATE_HOME',
    );
    const logged = await shell(`${room} && $RUN check ${weights} --audit log --token-file ${token}`, env);
    expectFailure(logged, 6, 'EROFS', `${folder}/mount/log`);
  });
});

describe.skipIf(process.platform !== 'linux')('8 GB of addresses (ulimit -v)', () => {
  const limited = (env: Readonly<Record<string, string>>, args: readonly string[]): Promise<CliResult> =>
    ended(
      spawn('sh', ['-c', 'ulimit -v 8388608; exec "$0" "$@"', process.execPath, MAIN, ...args], {
        env: { PATH: process.env['PATH'] ?? '', ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    );

  it('are too few for WebAssembly: the message has the limit and the variable that helps, and that helps', async () => {
    const check = ['check', weights, '--device', 'host'];
    expectFailure(await limited({}, check), 5, 'ulimit -v', 'NODE_OPTIONS=--disable-wasm-trap-handler');
    const helped = await limited({ NODE_OPTIONS: '--disable-wasm-trap-handler' }, check);
    expect([helped.code, helped.stderr]).toEqual([0, expect.any(String)]);
  });

  it('are enough for digest', async () => {
    expect(await limited({}, ['digest', weights])).toMatchObject({ code: 0 });
  });
});

describeCuda('a driver of CUDA', (bed) => {
  const { emulator } = bed;
  const check = (libraryPath?: string): Promise<CliResult> =>
    cli(['check', weights, '--device', 'cuda:0'], {
      backends: [bed.backend(libraryPath === undefined ? {} : { libraryPath })],
    });

  it('that is missing, or is not a library, is named with the variable that named it', async () => {
    await writeFile(join(folder, 'libcuda.so.1'), 'not a library');
    for (const path of ['/nowhere/libcuda.so.1', join(folder, 'libcuda.so.1')])
      expectFailure(await check(path), 5, path, 'VRAM_RESIDENCY_LIBCUDA');
  });

  it('that answers 999 at once', async () => {
    emulator.reset({ initResult: 999 });
    expectFailure(await check(), 5, 'CUDA_ERROR_UNKNOWN', 'VRAM_RESIDENCY_LIBCUDA');
  });

  it('without memory for the known answers', async () => {
    emulator.reset();
    emulator.failCall('cuMemCreate', 1, 2);
    expectFailure(await check(), 5, 'known-answer test', 'CUDA_ERROR_OUT_OF_MEMORY');
    expect(await readdir(folder)).toContain('weights.bin');
  });
});

import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { env, getuid, pid, platform } from 'node:process';
import { fileURLToPath } from 'node:url';

/** Debian 11: glibc 2.31, with threads and dlopen in libraries of their own, as they were before 2.34. */
const RELEASE = 'bullseye';
const CACHE = fileURLToPath(new URL('../../.cache/old-root/', import.meta.url));
const ROOT = join(CACHE, RELEASE);
/** Two to three minutes here, most of them spent on packages. */
const BOOTSTRAP_MS = 540_000;
const COMMAND_MS = 120_000;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface OldRoot {
  readonly missing: null;
  /** Where it lies. It is kept from run to run. */
  readonly path: string;
  /** Runs a program of the root inside it, with this environment alone. */
  run(command: string, args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Finished>;
}

export interface Finished {
  /** Null where the program was ended by a signal, or by the limit of two minutes. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The root folder of an old system, made on first use from apt's own Debian mirror; `missing` says why it cannot be had. */
export async function oldRoot(): Promise<OldRoot | { readonly missing: string }> {
  if (platform !== 'linux' || getuid?.() !== 0) {
    return { missing: 'chroot needs Linux and the rights of root' };
  }
  if (!existsSync(ROOT)) {
    const missing = await makeRoot();
    if (missing !== null) return { missing };
  }
  return {
    missing: null,
    path: ROOT,
    run: (command, args, variables = {}) =>
      finish('chroot', [ROOT, command, ...args], { env: { PATH, ...variables } }),
  };
}

/** Null when the root is there, else why it is not. */
async function makeRoot(): Promise<string | null> {
  // Not the mirror of security updates, which holds no whole system.
  const origin = ['Created-By: Packages', 'Origin: Debian', 'Label: Debian'];
  const mirrors = await finish('apt-get', ['indextargets', '--format', '$(REPO_URI)', ...origin]);
  const mirror = mirrors.stdout.trim().split('\n')[0];
  if (mirrors.status !== 0 || !mirror) return 'apt knows no Debian mirror';
  mkdirSync(CACHE, { recursive: true });
  const tool = await debootstrap();
  if (tool === null) return 'there is no debootstrap, and apt-get could not download it';
  const fresh = `${ROOT}.${pid}`;
  // What debootstrap mounts goes with the name space, however it ends.
  const made = await finish(
    'unshare',
    ['--mount', '--pid', '--fork', '--kill-child', tool.script, '--variant=minbase', RELEASE, fresh, mirror],
    { env: { ...env, PATH, ...tool.env }, timeout: BOOTSTRAP_MS },
  );
  if (made.status !== 0) {
    rmSync(fresh, { recursive: true, force: true });
    const lastWords = `${made.stdout}${made.stderr}`.trim().split('\n').at(-1);
    return `debootstrap made no ${RELEASE} root: ${lastWords || 'it was ended by its time limit'}`;
  }
  renameSync(fresh, ROOT);
  return null;
}

interface Debootstrap {
  readonly script: string;
  readonly env: Readonly<Record<string, string>>;
}

/** The installed one, else one that is unpacked into the cache: nothing is installed. Null where neither can be had. */
async function debootstrap(): Promise<Debootstrap | null> {
  const installed = PATH.split(':').map((folder) => join(folder, 'debootstrap'));
  const script = installed.find((path) => existsSync(path));
  if (script !== undefined) return { script, env: {} };
  const unpacked = join(CACHE, 'debootstrap');
  if (!existsSync(unpacked)) {
    await finish('apt-get', ['download', 'debootstrap'], { cwd: CACHE });
    const archive = readdirSync(CACHE).find((name) => /^debootstrap_.*\.deb$/.test(name));
    if (archive === undefined) return null;
    const { status } = await finish('dpkg-deb', ['-x', archive, unpacked], { cwd: CACHE });
    if (status !== 0) return null;
  }
  return {
    script: join(unpacked, 'usr/sbin/debootstrap'),
    env: { DEBOOTSTRAP_DIR: join(unpacked, 'usr/share/debootstrap') },
  };
}

/** Runs a program to its end. One that cannot be started ends with status null and the reason in `stderr`. */
function finish(
  command: string,
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string; readonly timeout?: number } = {},
): Promise<Finished> {
  const limits = { timeout: COMMAND_MS, killSignal: 'SIGKILL', maxBuffer: 64 * 1024 * 1024 } as const;
  return new Promise((resolve) => {
    execFile(command, args, { encoding: 'utf8', ...limits, ...options }, (error, stdout, stderr) => {
      if (error === null) resolve({ status: 0, stdout, stderr });
      else if (typeof error.code === 'number') resolve({ status: error.code, stdout, stderr });
      else resolve({ status: null, stdout, stderr: `${stderr}${error.message}` });
    });
  });
}

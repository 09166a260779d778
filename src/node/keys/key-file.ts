import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
  sign as signBytes,
} from 'node:crypto';
import { constants } from 'node:fs';
import { link, open, realpath, unlink } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { invalidInput, isVramError } from '../../base/index.js';
import type { Signer } from '../../crypto/index.js';
import {
  codeOf,
  directoryFault,
  hasCode,
  makeDirectories,
  nodeFileSystem,
  secrecyFault,
  withPath,
} from '../files/index.js';

const KEY_MODE = 0o600;
const STATE_MODE = 0o700;
const MAX_KEY_FILE_BYTES = 4_096;
/** A key is not read through a link, and a pipe in its place must not block open(). Windows has neither flag. */
const READ_FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
const IRREGULAR = 'must name a regular file, not a link, pipe or device';

/** Advice for a key whose default place cannot be used. */
const ELSEWHERE = 'name another file, or set XDG_STATE_HOME to a directory that can be written';

type Environment = Readonly<Record<string, string | undefined>>;
type Purpose = 'checkpoint' | 'attestation';

/**
 * Default location of a worker's key: the user's state directory (XDG Base Directory). Each purpose has its own key.
 * Errors: INVALID_INPUT for a user without a home, such as one without a passwd entry.
 */
export function defaultKeyFile(
  workerId: string,
  env: Environment = process.env,
  purpose: Purpose = 'checkpoint',
): string {
  const path = defaultKeyFileIfAny(workerId, env, purpose);
  if (path !== null) return path;
  throw invalidInput('keyFile', `has no default place, since this user has no home directory; ${ELSEWHERE}`);
}

/** The same for an optional key: null for a user without a home. */
export function defaultKeyFileIfAny(
  workerId: string,
  env: Environment = process.env,
  purpose: Purpose = 'checkpoint',
): string | null {
  const base = stateDirectory(env);
  return base === null ? null : join(base, 'vram-residency', `${purpose}-${workerId}.key`);
}

function stateDirectory(env: Environment): string | null {
  const stated = env['XDG_STATE_HOME'];
  const local = env['LOCALAPPDATA'];
  if (stated !== undefined && isAbsolute(stated)) return stated;
  if (process.platform === 'win32' && local !== undefined) return local;
  const home = homeDirectory();
  return home === null ? null : join(home, '.local', 'state');
}

/** HOME, or the home directory in passwd; null where that is not an absolute path. */
function homeDirectory(): string | null {
  try {
    const home = homedir();
    return isAbsolute(home) ? home : null;
  } catch (error) {
    if (hasCode(error, 'ERR_SYSTEM_ERROR')) return null;
    throw error;
  }
}

export interface KeyFileOptions {
  /** The audit log's directory, in which the key must not lie; null without a log. */
  readonly logDirectory: string | null;
  /** Refuse a missing key instead of creating it. Default false. */
  readonly mustExist?: boolean;
  /** A further trusted owner of the key and its directories, besides this user and root. */
  readonly trustOwner?: number | null | undefined;
}

/**
 * The Ed25519 key in `path` (PKCS #8, PEM), created if missing. It must lie outside the log's directory, if
 * there is a log, and be readable by its owner alone. Errors: INVALID_INPUT.
 */
export async function openKeyFile(path: string, options: KeyFileOptions): Promise<Signer> {
  if (options.logDirectory !== null) await checkOutside(path, options.logDirectory);
  const trustOwner = options.trustOwner ?? null;
  const existing = await readKey(path, trustOwner);
  if (existing === null && options.mustExist === true) {
    throw invalidInput('keyFile', 'does not exist: the expected log was signed with its key');
  }
  return signerOf(existing ?? (await createKey(path, trustOwner)));
}

/**
 * The public half, 32 bytes, or null where there is no key file. `trustOwner`: as in openKeyFile. Errors: INVALID_INPUT.
 */
export async function readPublicKey(
  path: string,
  trustOwner: number | null = null,
): Promise<Uint8Array | null> {
  const key = await readKey(path, trustOwner);
  return key === null ? null : publicKeyOf(key);
}

/** A user who can write the log must not be able to read the key that vouches for it. */
async function checkOutside(path: string, logDirectory: string): Promise<void> {
  const inside = relative(await realest(logDirectory), await realest(resolve(path)));
  if (inside === '' || !(inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside))) {
    throw invalidInput('keyFile', "must lie outside the log's directory");
  }
}

/** The path without symbolic links, as far as it exists. */
async function realest(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT'))
      throw invalidInput('keyFile', `cannot be reached${codeOf(error)}; ${ELSEWHERE}`, error);
    const parent = dirname(path);
    return parent === path ? path : join(await realest(parent), path.slice(parent.length));
  }
}

async function readKey(path: string, trustOwner: number | null): Promise<KeyObject | null> {
  const pem = await readPem(path, trustOwner);
  if (pem === null) return null;
  try {
    const key = createPrivateKey({ key: pem, format: 'pem' });
    if (key.asymmetricKeyType !== 'ed25519') throw invalidInput('keyFile', 'must hold an Ed25519 key');
    return key;
  } catch (error) {
    // The parser's message may quote its input.
    throw invalidInput('keyFile', 'must hold an Ed25519 private key (PKCS #8, PEM)', error);
  } finally {
    pem.fill(0);
  }
}

/** The bytes of a key file that no other user can have read, written or put there; null where there is none. */
async function readPem(path: string, trustOwner: number | null): Promise<Buffer | null> {
  try {
    const handle = await open(path, READ_FLAGS);
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) throw invalidInput('keyFile', IRREGULAR);
      const fault = secrecyFault(stats, trustOwner);
      if (fault !== null) throw invalidInput('keyFile', fault);
      await checkFolder(path, trustOwner);
      const room = Buffer.alloc(MAX_KEY_FILE_BYTES + 1);
      const { bytesRead } = await handle.read(room, 0, room.length, 0);
      if (bytesRead > MAX_KEY_FILE_BYTES) throw invalidInput('keyFile', 'is too large to be a key');
      return room.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null;
    if (hasCode(error, 'ELOOP', 'EMLINK', 'ENXIO')) throw invalidInput('keyFile', IRREGULAR, error);
    if (hasCode(error, 'EACCES', 'EPERM', 'EISDIR', 'ENOTDIR')) {
      throw invalidInput('keyFile', `cannot be read${codeOf(error)}; ${ELSEWHERE}`, error);
    }
    throw error;
  }
}

/** Anyone who can write its folder can remove the key or replace it. */
async function checkFolder(path: string, trustOwner: number | null): Promise<void> {
  const folder = dirname(resolve(path));
  for (const each of new Set([folder, await realest(folder)])) {
    const fault = await directoryFault(each, trustOwner);
    if (fault !== null) throw invalidInput('keyFile', `lies in a directory that is not safe: it ${fault}`);
  }
}

/** Atomic; if two processes start together, the first one wins. */
async function createKey(path: string, trustOwner: number | null): Promise<KeyObject> {
  const { privateKey } = generateKeyPairSync('ed25519');
  // Not named after the process id: in a container that is the same at every start, and a crash may have left the file.
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await makeDirectories(dirname(path), STATE_MODE);
    await checkFolder(path, trustOwner);
    const handle = await open(temporary, 'wx', KEY_MODE);
    try {
      try {
        const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
        await withPath(temporary, async () => {
          await handle.writeFile(pem);
          await handle.sync();
        });
      } finally {
        await handle.close();
      }
      await link(temporary, path);
    } finally {
      await unlink(temporary);
    }
    // Made durable before anything is signed with it: a log whose key is lost cannot be continued.
    await nodeFileSystem.syncDirectory(dirname(path));
    return privateKey;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) {
      const first = await readKey(path, trustOwner);
      if (first !== null) return first;
    }
    throw isVramError(error)
      ? error
      : invalidInput('keyFile', `cannot be made${codeOf(error)}; ${ELSEWHERE}`, error);
  }
}

function signerOf(privateKey: KeyObject): Signer {
  return {
    publicKey: publicKeyOf(privateKey),
    sign: async (bytes) => new Uint8Array(signBytes(null, bytes, privateKey)),
  };
}

function publicKeyOf(privateKey: KeyObject): Uint8Array {
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  if (x === undefined) throw invalidInput('keyFile', 'must hold an Ed25519 key');
  return new Uint8Array(Buffer.from(x, 'base64url'));
}

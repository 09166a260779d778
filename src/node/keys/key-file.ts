import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
  sign as signBytes,
} from 'node:crypto';
import { constants } from 'node:fs';
import { link, mkdir, open, realpath, unlink } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { invalidInput } from '../../base/index.js';
import type { Signer } from '../../crypto/index.js';
import { hasCode, isOpenToOthers, nodeFileSystem } from '../files/index.js';

const KEY_MODE = 0o600;
const STATE_MODE = 0o700;
const MAX_KEY_FILE_BYTES = 4_096;

/**
 * Where a worker's key lies unless told otherwise: the user's state directory (XDG Base Directory). Each purpose has a
 * key of its own.
 */
export function defaultKeyFile(
  workerId: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
  purpose: 'checkpoint' | 'attestation' = 'checkpoint',
): string {
  const stated = env['XDG_STATE_HOME'];
  const local = env['LOCALAPPDATA'];
  const base =
    stated !== undefined && isAbsolute(stated)
      ? stated
      : process.platform === 'win32' && local !== undefined
        ? local
        : join(homedir(), '.local', 'state');
  return join(base, 'vram-residency', `${purpose}-${workerId}.key`);
}

export interface KeyFileOptions {
  /** The audit log's directory, in which the key must not lie; null where there is no log. */
  readonly logDirectory: string | null;
  /** A key that is not there is refused, not made. Default false. */
  readonly mustExist?: boolean;
}

/**
 * The Ed25519 key in `path` (PKCS #8, PEM), made there if there is none. It must lie outside the log's directory, if
 * there is a log, and be readable by its owner alone. Errors: INVALID_INPUT.
 */
export async function openKeyFile(path: string, options: KeyFileOptions): Promise<Signer> {
  if (options.logDirectory !== null) await checkOutside(path, options.logDirectory);
  const existing = await readKey(path);
  if (existing === null && options.mustExist === true) {
    throw invalidInput('keyFile', 'is not there: the log that is expected was signed with its key');
  }
  return signerOf(existing ?? (await createKey(path)));
}

/** The public half, 32 bytes, or null where there is no key file. Errors: INVALID_INPUT. */
export async function readPublicKey(path: string): Promise<Uint8Array | null> {
  const key = await readKey(path);
  return key === null ? null : publicKeyOf(key);
}

/** Who can write the log must not be able to read the key that vouches for it. */
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
    if (!hasCode(error, 'ENOENT')) throw invalidInput('keyFile', 'cannot be reached', error);
    const parent = dirname(path);
    return parent === path ? path : join(await realest(parent), path.slice(parent.length));
  }
}

async function readKey(path: string): Promise<KeyObject | null> {
  let pem: Buffer;
  try {
    const handle = await open(path, constants.O_RDONLY);
    try {
      const stats = await handle.stat();
      if (isOpenToOthers(stats)) {
        throw invalidInput('keyFile', 'can be read or written by others; make it private (chmod 600)');
      }
      if (stats.size > MAX_KEY_FILE_BYTES) throw invalidInput('keyFile', 'is too large to be a key');
      pem = await handle.readFile();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null;
    if (hasCode(error, 'EACCES', 'EPERM', 'EISDIR', 'ELOOP', 'ENOTDIR')) {
      throw invalidInput('keyFile', 'cannot be read', error);
    }
    throw error;
  }
  try {
    const key = createPrivateKey({ key: pem, format: 'pem' });
    if (key.asymmetricKeyType !== 'ed25519') throw invalidInput('keyFile', 'must hold an Ed25519 key');
    return key;
  } catch (error) {
    // The parser's message may quote what it was given.
    throw invalidInput('keyFile', 'must hold an Ed25519 private key (PKCS #8, PEM)', error);
  } finally {
    pem.fill(0);
  }
}

/** Whole or not at all, and the first one wins where two processes start together. */
async function createKey(path: string): Promise<KeyObject> {
  const { privateKey } = generateKeyPairSync('ed25519');
  // Not named by the process id: in a container that is the same at every start, and a crash may have left the file.
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: STATE_MODE });
    const handle = await open(temporary, 'wx', KEY_MODE);
    try {
      try {
        await handle.writeFile(privateKey.export({ type: 'pkcs8', format: 'pem' }));
        await handle.sync();
      } finally {
        await handle.close();
      }
      await link(temporary, path);
    } finally {
      await unlink(temporary);
    }
    // Before anything is signed with it: a log whose key is lost cannot go on.
    await nodeFileSystem.syncDirectory(dirname(path));
    return privateKey;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) {
      const first = await readKey(path);
      if (first !== null) return first;
    }
    throw invalidInput('keyFile', 'cannot be made', error);
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

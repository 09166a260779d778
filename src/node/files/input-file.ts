import {
  close as closeCallback,
  constants,
  fstat as fstatCallback,
  open as openCallback,
  read as readCallback,
  type Stats,
} from 'node:fs';
import type { Socket } from 'node:net';
import { promisify } from 'node:util';
import { invalidInput, isVramError, throwIfAborted, VramError } from '../../base/index.js';
import { ownerFault, secrecyFault } from './rights.js';

const open = promisify(openCallback);
const close = promisify(closeCallback);
const fstat = promisify(fstatCallback);
const read = promisify(readCallback);

/** Without O_NONBLOCK, opening a pipe without a writer would block forever. */
const READ_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);
/** Long, because the writer may first have to unlock a vault by hand. */
const DEFAULT_STALL_MS = 300_000;
/** Inherited descriptors: the parent process opened what they refer to. */
const INHERITED = /^(\/dev\/stdin|\/dev\/fd\/\d+|\/proc\/self\/fd\/\d+)$/;
const CHUNK_BYTES = 65_536;

export interface InputOptions {
  readonly maxBytes: number;
  /** Holds a secret: others must not be able to read or write it, and it must be this user's or root's. */
  readonly secret?: boolean;
  /** A further trusted owner of secrets. */
  readonly trustOwner?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How long a pipe may stay without a byte, ms; default five minutes. */
  readonly stallMs?: number;
}

/**
 * A small file or pipe that an option names, whole. Links are followed (secrets of Kubernetes are links), and what was
 * opened is judged by its descriptor. The caller zeroes a secret.
 * Errors: INVALID_INPUT naming `argument` (cannot be read, neither file nor pipe, too large, not private, a pipe that
 * stalls); ABORTED.
 */
export async function readInput(argument: string, path: string, options: InputOptions): Promise<Uint8Array> {
  const { maxBytes, secret, signal, trustOwner = null } = options;
  throwIfAborted(signal);
  try {
    const fd = await open(path, READ_FLAGS);
    // A socket closes its descriptor itself.
    let owned = true;
    try {
      const stats = await fstat(fd);
      const fault = secret === true ? inputFault(path, stats, trustOwner) : null;
      if (fault !== null) throw invalidInput(argument, fault);
      if (stats.isDirectory()) throw invalidInput(argument, 'cannot be read: EISDIR');
      if (stats.isFile()) return await readFile(argument, fd, maxBytes);
      if (!stats.isFIFO()) throw invalidInput(argument, 'must be a file or a pipe');
      // Loaded only for a pipe: most programs read none.
      const { Socket } = await import('node:net');
      const socket = new Socket({ fd, readable: true, writable: false });
      owned = false;
      return await readPipe(argument, socket, options);
    } finally {
      if (owned) await close(fd);
    }
  } catch (error) {
    if (isVramError(error)) throw error;
    const code = error instanceof Error && 'code' in error ? `: ${String(error.code)}` : '';
    throw invalidInput(argument, `cannot be read${code}`, error);
  }
}

function inputFault(path: string, stats: Stats, trustOwner: number | null): string | null {
  if (stats.isFile()) return secrecyFault(stats, trustOwner);
  return INHERITED.test(path) ? null : ownerFault(stats, trustOwner);
}

async function readFile(argument: string, fd: number, maxBytes: number): Promise<Uint8Array> {
  const room = new Uint8Array(maxBytes + 1);
  let length = 0;
  while (length < room.length) {
    const { bytesRead } = await read(fd, room, length, Math.min(CHUNK_BYTES, room.length - length), length);
    if (bytesRead === 0) return room.subarray(0, length);
    length += bytesRead;
  }
  room.fill(0);
  throw tooLarge(argument, maxBytes);
}

/** Reads to the end, and destroys the socket on every path. */
function readPipe(
  argument: string,
  socket: Socket,
  { maxBytes, signal, stallMs = DEFAULT_STALL_MS }: InputOptions,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const end = (error: Error | null): void => {
      signal?.removeEventListener('abort', onAbort);
      socket.destroy();
      const whole = error === null ? Buffer.concat(chunks) : null;
      for (const chunk of chunks) chunk.fill(0);
      if (whole === null) reject(error);
      else resolve(whole);
    };
    const onAbort = (): void => {
      end(new VramError('ABORTED', 'reading was aborted by its signal', { cause: signal?.reason }));
    };
    if (signal?.aborted) onAbort();
    signal?.addEventListener('abort', onAbort);
    socket.setTimeout(stallMs, () => end(invalidInput(argument, 'is a pipe without a writer')));
    socket.on('error', end);
    socket.on('end', () => end(null));
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > maxBytes) end(tooLarge(argument, maxBytes));
    });
  });
}

function tooLarge(argument: string, maxBytes: number): Error {
  return invalidInput(argument, `is larger than ${maxBytes} bytes`);
}

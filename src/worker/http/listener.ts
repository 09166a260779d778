import { chmod, lstat, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { invalidInput, VramError } from '../../base/index.js';
import { directoryFault } from '../../node/index.js';
import { getRequestListener } from '../packages/index.js';

/** Longest name of a Unix socket, in bytes (sockaddr_un). */
const MAX_SOCKET_PATH = 107;
const MAX_HEADER_BYTES = 16_384;
const KEEP_ALIVE_MS = 5_000;

export interface ListenLimits {
  /** Connections at one time; more are closed at once. */
  readonly mostConnections: number;
  /** Time for a request's headers to arrive, including its first byte. */
  readonly headersMs: number;
  /** Time for a whole request to arrive. */
  readonly requestMs: number;
  /** Time for which a client may read nothing of a pending answer. */
  readonly unreadMs: number;
}

const LIMITS: ListenLimits = {
  mostConnections: 1_024,
  headersMs: 10_000,
  requestMs: 60_000,
  unreadMs: 60_000,
};
/** Milliseconds between checks for late connections: Node's default, half a minute, would triple the limit. */
const CHECK_MS = 1_000;

interface SocketAddress {
  readonly socket: string;
  /** A further trusted owner of directories, besides this user and root. */
  readonly trustOwner: number | null;
}

export type Address =
  | SocketAddress
  | {
      readonly host: string;
      readonly port: number;
      readonly tls: { readonly cert: Buffer; readonly key: Buffer } | null;
    };

export interface Listener {
  /** The address, for display: a path or a URL. */
  readonly name: string;
  /** Stops accepting requests and ends connections. Never rejects. */
  close(): Promise<void>;
}

/** Serves an app on one address. Errors: INVALID_INPUT for an address that cannot be used. */
export async function listen(
  address: Address,
  app: (request: Request) => Promise<Response>,
  limits: Partial<ListenLimits> = {},
): Promise<Listener> {
  const all = { ...LIMITS, ...limits };
  const server = serverFor(address, app, all);
  // A Unix socket refuses callers beyond its backlog, by default 511: as many may wait as may connect.
  const backlog = all.mostConnections;
  if ('socket' in address) {
    await listenOnSocket(server, address, backlog);
    return { name: address.socket, close: () => close(server) };
  }
  await started(server, `${address.host}:${address.port}`, () =>
    server.listen(address.port, address.host, backlog),
  );
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return { name: `${address.tls === null ? 'http' : 'https'}://${host}:${port}`, close: () => close(server) };
}

function serverFor(
  address: Address,
  app: (request: Request) => Promise<Response>,
  { mostConnections, headersMs, requestMs, unreadMs }: ListenLimits,
): Server {
  const listener = getRequestListener(app, { overrideGlobalObjects: false, hostname: 'localhost' });
  const answer = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    endIfUnread(outgoing, unreadMs);
    void listener(incoming, outgoing);
  };
  const limits = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: headersMs,
    requestTimeout: requestMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: Math.min(CHECK_MS, headersMs),
  };
  const tls = 'socket' in address ? null : address.tls;
  const server =
    tls === null
      ? createServer(limits, answer)
      : createTlsServer({ ...limits, ...tls, minVersion: 'TLSv1.2' }, answer);
  server.maxConnections = mostConnections;
  return server;
}

/** Producing an answer may take any time, but a client that does not read it blocks a connection that others need. */
function endIfUnread(outgoing: ServerResponse, unreadMs: number): void {
  outgoing.setTimeout(unreadMs, () => {
    const { socket } = outgoing;
    if (socket === null) return;
    if (socket.writableLength > 0) socket.destroy();
    else socket.setTimeout(unreadMs);
  });
}

/** Only this user may connect. A stale socket is removed first. */
async function listenOnSocket(
  server: Server,
  { socket: path, trustOwner }: SocketAddress,
  backlog: number,
): Promise<void> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) {
    throw invalidInput(
      'socket',
      `is longer than ${MAX_SOCKET_PATH} bytes, the most that a socket's name can have`,
    );
  }
  const fault = await directoryFault(dirname(path), trustOwner);
  if (fault !== null) throw invalidInput('socket', `lies in a directory that cannot be trusted: ${fault}`);
  await removeStale(path);
  // The name has these rights from its creation on.
  await started(server, path, () => withUmask(0o177, () => server.listen(path, backlog)));
  await chmod(path, 0o600);
}

/** The mask applies to the whole process and must not affect other files, so `work` is synchronous. */
function withUmask(mask: number, work: () => void): void {
  const before = process.umask(mask);
  try {
    work();
  } finally {
    process.umask(before);
  }
}

async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => null);
  if (found === null) return;
  if (!found.isSocket())
    throw invalidInput('socket', `names something else than a socket: ${JSON.stringify(path)}`);
  if (await answers(path))
    throw invalidInput('socket', `is in use by another process: ${JSON.stringify(path)}`);
  await rm(path, { force: true });
}

/** Only a refused connection shows that there is no listener: a busy server answers with another error. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    );
  });
}

function started(server: Server, where: string, listenNow: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (cause: NodeJS.ErrnoException): void => {
      reject(
        new VramError('INVALID_INPUT', `cannot listen on ${where}: ${cause.code ?? 'unknown error'}`, {
          cause,
        }),
      );
    };
    server.once('error', failed);
    server.once('listening', () => {
      server.off('error', failed);
      resolve();
    });
    listenNow();
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    // Event streams would keep it open forever.
    server.closeAllConnections();
  });
}

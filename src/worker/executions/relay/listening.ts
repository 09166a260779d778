import { readdir, readFile, readlink } from 'node:fs/promises';

/** Where an engine listens: on this host alone. */
export type EngineAddress =
  | { readonly socket: string }
  | { readonly host: '127.0.0.1' | '::1'; readonly port: number };

/** State of a listening TCP socket, and flag of a listening Unix socket, as /proc writes them. */
const TCP_LISTEN = '0A';
const SO_ACCEPTCON = 0x1_0000;
/**
 * Addresses on which a listening socket is reachable through one, as the kernel writes them: in words of four bytes,
 * each in reverse order.
 */
const REACHED: Readonly<Record<string, readonly string[]>> = {
  '127.0.0.1': ['0100007F', '00000000', '0000000000000000FFFF00000100007F', '0'.repeat(32)],
  '::1': ['00000000000000000000000001000000', '0'.repeat(32)],
};
/** The most file descriptors of a process that are checked. */
const MOST_DESCRIPTORS = 65_536;

/**
 * The one of these processes that listens at an address; null if none does, or the system hides it. An inherited or
 * passed descriptor of the socket counts for its holder.
 */
export async function listenerAmong(pids: readonly number[], address: EngineAddress): Promise<number | null> {
  const sockets = 'socket' in address ? await unixListeners(address.socket) : await tcpListeners(address);
  if (sockets.size === 0) return null;
  for (const pid of new Set(pids)) if (await holdsOne(pid, sockets)) return pid;
  return null;
}

/** Inodes of the sockets that accept connections to this loopback address. */
async function tcpListeners({
  host,
  port,
}: {
  readonly host: string;
  readonly port: number;
}): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  const reached = REACHED[host] ?? [];
  for (const table of ['/proc/self/net/tcp', '/proc/self/net/tcp6']) {
    for (const line of (await textOf(table)).split('\n').slice(1)) {
      const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/);
      const [hexAddress = '', hexPort = ''] = local.split(':');
      const isHere = Number.parseInt(hexPort, 16) === port && reached.includes(hexAddress);
      if (state === TCP_LISTEN && isHere && inode !== undefined) found.add(inode);
    }
  }
  return found;
}

async function unixListeners(path: string): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const line of (await textOf('/proc/self/net/unix')).split('\n').slice(1)) {
    const [, , , flags = '', , , inode, ...name] = line.split(/\s+/);
    const listens = (Number.parseInt(flags, 16) & SO_ACCEPTCON) !== 0;
    if (listens && name.join(' ') === path && inode !== undefined) found.add(inode);
  }
  return found;
}

async function holdsOne(pid: number, inodes: ReadonlySet<string>): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  const names = await readdir(folder).catch(() => []);
  for (const name of names.slice(0, MOST_DESCRIPTORS)) {
    const target = await readlink(`${folder}/${name}`).catch(() => '');
    const [, inode] = /^socket:\[(\d+)\]$/.exec(target) ?? [];
    if (inode !== undefined && inodes.has(inode)) return true;
  }
  return false;
}

/** Empty on systems without such a table. */
async function textOf(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '');
}

import { mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, it } from 'vitest';
import { addonTransport } from '../../../../src/handover/native/index.js';
import type {
  CloseReason,
  ListenOptions,
  ShareConnection,
  ShareListener,
} from '../../../../src/handover/port.js';
import { cudaTestbed, type PresentTestbed } from '../../../support/cuda.js';
import { ShareClient, socketAddon } from '../../../support/share-client.js';

const bed = await cudaTestbed();

/** A group of tests over the addon's sockets; where it cannot be built, one skipped test with the reason. */
export function describeSockets(title: string, body: (bed: PresentTestbed) => void): void {
  describe(title, () => {
    if (bed.missing === null) body(bed);
    else it.skip(`NOT RUN: ${bed.missing}`);
  });
}

/** An accepted connection, and what it has told. */
export interface Accepted {
  readonly connection: ShareConnection;
  readonly lines: string[];
  readonly closed: Promise<CloseReason>;
}

export interface SocketBench {
  readonly directory: string;
  readonly path: string;
  readonly listener: ShareListener;
  /** Connections in the order in which they came. */
  readonly accepted: Accepted[];
  /** Closed behind the test. */
  readonly clients: ShareClient[];
  client(): ShareClient;
  /** A client and its accepted side. */
  pair(): Promise<readonly [ShareClient, Accepted]>;
}

/** A directory of the test's own, removed afterwards; nobody else can write it. */
export async function inDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'share-')));
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A listening socket in a directory of its own; everything is closed behind the test. */
export async function withSocket<T>(
  { addon }: PresentTestbed,
  work: (bench: SocketBench) => Promise<T>,
  options: Partial<ListenOptions> = {},
): Promise<T> {
  return await inDirectory(async (directory) => {
    const path = join(directory, 'share.sock');
    const accepted: Accepted[] = [];
    const clients: ShareClient[] = [];
    const listener = await addonTransport(addon).listen({
      path,
      mode: 0o600,
      maxLineBytes: 65_536,
      onConnection: (connection) => accepted.push(listening(connection)),
      ...options,
    });
    const client = (): ShareClient => {
      const made = new ShareClient(socketAddon(addon), path);
      clients.push(made);
      return made;
    };
    const pair = async (): Promise<readonly [ShareClient, Accepted]> => {
      const before = accepted.length;
      const made = client();
      return [made, await until(() => accepted[before])];
    };
    try {
      return await work({ directory, path, listener, accepted, clients, client, pair });
    } finally {
      for (const one of clients) one.close();
      for (const { connection } of accepted) connection.close();
      await listener.close();
    }
  });
}

function listening(connection: ShareConnection): Accepted {
  const lines: string[] = [];
  connection.onLine((line) => lines.push(new TextDecoder().decode(line)));
  const closed = new Promise<CloseReason>((resolve) => connection.onClosed(resolve));
  return { connection, lines, closed };
}

/** Asks again until there is an answer; the test's own time-out ends it. */
export async function until<T>(ask: () => T | undefined | false): Promise<T> {
  for (;;) {
    const answer = ask();
    if (answer !== undefined && answer !== false) return answer;
    await pause(2);
  }
}

/** Descriptors of this process. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

export function line(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\n`);
}

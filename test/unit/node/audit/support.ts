import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import type { Observer, OperationEvent } from '../../../../src/events/events.js';
import { type AuditPlatform, systemPlatform } from '../../../../src/node/audit/directory.js';
import {
  type AuditDirectory,
  type AuditDirectoryOptions,
  openAuditDirectory,
} from '../../../../src/node/audit/index.js';
import { TOKEN, WORKER } from '../../audit/events.js';

export { anyEvent, event, otherEvent, PAYLOADS, TOKEN, WORKER } from '../../audit/events.js';

const made: string[] = [];

afterEach(async () => {
  for (const dir of made.splice(0)) await rm(dir, { recursive: true, force: true });
});

/** A directory that goes after the test; `log` in it is for the log, `key` beside it for the key. */
export async function scratch(): Promise<{
  readonly root: string;
  readonly dir: string;
  readonly keyFile: string;
}> {
  const root = await mkdtemp(join(tmpdir(), 'audit-'));
  made.push(root);
  return { root, dir: join(root, 'log'), keyFile: join(root, 'key') };
}

export function openLog(
  place: { readonly dir: string; readonly keyFile: string },
  options: Partial<AuditDirectoryOptions> = {},
  platform: AuditPlatform = systemPlatform,
): Promise<AuditDirectory> {
  return openAuditDirectory(
    { dir: place.dir, keyFile: place.keyFile, token: TOKEN, workerId: WORKER, ...options },
    platform,
  );
}

/** The system's platform over another file system. */
export function systemPlatformWith(fs: AuditPlatform['fs']): AuditPlatform {
  return { ...systemPlatform, fs };
}

/** Emits without waiting, as an operation does that need not wait. */
export function emit(
  log: { readonly observer: Observer } | Observer,
  ...events: readonly OperationEvent[]
): void {
  const observer = 'observer' in log ? log.observer : log;
  for (const each of events) void observer.on(each);
}

import { join } from 'node:path';
import { invalidInput } from '../../base/index.js';
import { codeOf, fileLocker, type LockFile, makeDirectories } from '../../node/index.js';
import { inContainer, isFromHost } from './container.js';

/** Readable by other users, who lock the same file: a lock that they cannot see would not stop them. */
const DIRECTORY_MODE = 0o755;

export interface LockedDevice {
  /** `cuda:0`. */
  readonly id: string;
  readonly uuid: string | null;
}

export interface DeviceLockOptions {
  readonly device: LockedDevice;
  /** Absolute. */
  readonly directory: string;
  /** `container`: the operator guarantees that no other container has the device. */
  readonly scope: 'host' | 'container';
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Null where locks are not available. Default: the addon. */
  readonly lockFile?: LockFile | null;
}

export interface DeviceLock {
  /** Why the lock is ineffective; null where it is effective. */
  readonly weakness: string | null;
  release(): void;
}

/**
 * Keeps every other worker off a device until it is released or this process ends. Errors: INVALID_INPUT where another
 * one has it, or where the lock would have no effect.
 */
export async function takeDeviceLock(options: DeviceLockOptions): Promise<DeviceLock> {
  const { device, directory, scope, env, lockFile = fileLocker() } = options;
  if (lockFile === null) {
    return {
      weakness: "the addon is missing: only the audit log's lock can stop a second worker on this device",
      release: () => undefined,
    };
  }
  // The `host` device is memory of the container itself, so its lock may be the container's too.
  if (device.id !== 'host' && scope === 'host' && inContainer(env) && !(await isFromHost(directory))) {
    throw invalidInput(
      'lockDir',
      `is this container's own: mount the host's ${directory} there, or say "lockScope": "container" where no other ` +
        `container gets the device`,
    );
  }
  const taken = await lockAt(lockFile, directory, `${nameOf(device)}.lock`);
  if ('held' in taken) {
    const who = taken.holder === null ? 'another worker' : `another worker (process ${taken.holder})`;
    throw invalidInput('device', `${device.id} is served by ${who}: a device can have only one worker`);
  }
  return { weakness: null, release: () => taken.release() };
}

async function lockAt(lockFile: LockFile, directory: string, name: string): Promise<ReturnType<LockFile>> {
  try {
    await makeDirectories(directory, DIRECTORY_MODE);
    return lockFile(join(directory, name));
  } catch (cause) {
    const code = codeOf(cause) ?? 'unknown error';
    throw invalidInput('lockDir', `cannot hold a lock: ${JSON.stringify(directory)} (${code})`, cause);
  }
}

/** By the GPU's UUID where it has one: its index may differ between processes. */
function nameOf({ id, uuid }: LockedDevice): string {
  return (uuid ?? id).replace(/[^A-Za-z0-9-]/g, '-');
}

import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';

/** Identifies a process and its machine. null where the platform gives no value. */
export interface ProcessIdentity {
  readonly host: string;
  /** Differs after every boot. */
  readonly bootId: string | null;
  /** Process ids are meaningful only within one PID namespace. */
  readonly pidNamespace: string | null;
  readonly pid: number;
  /** Clock ticks from boot to the process's start: distinguishes it from a later process with the same id. */
  readonly startTime: string | null;
}

/** The identity of this process, and whether others still run. */
export interface ProcessTable {
  self(): Promise<ProcessIdentity>;
  /** Whether a process of this machine, boot and namespace still runs. */
  isAlive(process: Pick<ProcessIdentity, 'pid' | 'startTime'>): Promise<boolean>;
}

export const systemProcesses: ProcessTable = {
  async self() {
    return {
      host: hostname(),
      bootId: await orNull(async () => (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()),
      pidNamespace: await orNull(() => readlink('/proc/self/ns/pid')),
      pid: process.pid,
      startTime: (await stateOf(process.pid))?.startTime ?? null,
    };
  },

  async isAlive({ pid, startTime }) {
    try {
      process.kill(pid, 0);
    } catch (error) {
      // EPERM: the process exists and belongs to another user.
      if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    }
    const state = await stateOf(pid);
    if (state === null) return true;
    // A zombie no longer writes; its parent has not read its exit status yet.
    if (state.state === 'Z' || state.state === 'X') return false;
    return startTime === null || state.startTime === startTime;
  },
};

/** Fields 3 and 22 of /proc/<pid>/stat (proc(5)); null where it cannot be read. */
async function stateOf(pid: number): Promise<{ readonly state: string; readonly startTime: string } | null> {
  const stat = await orNull(() => readFile(`/proc/${pid}/stat`, 'utf8'));
  // The second field is the program's name in parentheses, which may hold anything.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields?.[0];
  const startTime = fields?.[19];
  return state === undefined || startTime === undefined ? null : { state, startTime };
}

async function orNull<T>(read: () => Promise<T>): Promise<T | null> {
  try {
    return await read();
  } catch {
    // Systems without /proc: the identity has no start time.
    return null;
  }
}

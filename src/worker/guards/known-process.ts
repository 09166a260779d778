import { readFile, stat } from 'node:fs/promises';

/** A process's owner and start time from the kernel: the id alone may be reused later. */
export interface KnownProcess {
  readonly pid: number;
  readonly uid: number;
  readonly startTime: string;
}

/** null where there is no such process, or the system does not show it. */
export async function knownProcess(pid: number): Promise<KnownProcess | null> {
  try {
    const { uid } = await stat(`/proc/${pid}`);
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The process name may contain any characters, so fields are counted after it: the start time is the 22nd of all.
    const startTime = text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
    return startTime === undefined ? null : { pid, uid, startTime };
  } catch {
    return null;
  }
}

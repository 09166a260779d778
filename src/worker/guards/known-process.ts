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
    // Behind the name, which may hold anything, the fields are plain: the start time is the 22nd of all.
    const startTime = text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
    return startTime === undefined ? null : { pid, uid, startTime };
  } catch {
    return null;
  }
}

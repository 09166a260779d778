import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

/** What container runtimes leave in every container. */
const MARKS = ['/.dockerenv', '/run/.containerenv'];

/** Whether this process has a file system of its own, as far as the usual runtimes show. */
export function inContainer(env: Readonly<Record<string, string | undefined>>): boolean {
  return (
    MARKS.some((mark) => existsSync(mark)) ||
    env['container'] !== undefined ||
    env['KUBERNETES_SERVICE_HOST'] !== undefined
  );
}

/** Whether a folder is, or lies below, a folder of the host that was mounted into this container. */
export async function isFromHost(folder: string): Promise<boolean> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  let nearest = { place: '', root: '/' };
  for (const line of mounts.split('\n')) {
    const [, , , root, place] = line.split(' ');
    if (root === undefined || place === undefined || place.length < nearest.place.length) continue;
    if (folder === place || folder.startsWith(place.endsWith('/') ? place : `${place}/`))
      nearest = { place, root };
  }
  // A file system of the container's own is mounted from its root; a folder of the host from where it lies there.
  return nearest.place !== '/' && nearest.root !== '/';
}

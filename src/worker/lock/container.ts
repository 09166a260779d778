import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

/** Files that container runtimes create in every container. */
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
  // A container's own file system is mounted from its root, a host folder from its path on the host.
  return nearest.place !== '/' && nearest.root !== '/';
}

// The architectures that ptxas can make machine code for, as it reports them.
import { spawnSync } from 'node:child_process';

export const ptxas = process.env['PTXAS'] ?? 'ptxas';

/** What the kernels need: cuda/vram.ptx is written for it. */
const OLDEST = 75;

/** `sm_90` -> 90. */
export const numberOf = (architecture) => Number(architecture.slice(3));

/**
 * Architectures that ptxas knows and the kernels run on, oldest first; of variants (90a, 100f) the plain one. Empty if
 * there is no ptxas.
 */
export function knownArchitectures() {
  const asked = spawnSync(ptxas, ['--help'], { encoding: 'utf8' });
  if (asked.error !== undefined || asked.status !== 0) return [];
  const begin = asked.stdout.indexOf('--gpu-name');
  if (begin < 0) return [];
  const end = asked.stdout.indexOf('\n--', begin);
  const said = asked.stdout.slice(begin, end < 0 ? undefined : end);
  const names = said.match(/(?<=')sm_\d+(?=')/g) ?? [];
  return [...new Set(names)]
    .filter((name) => numberOf(name) >= OLDEST)
    .sort((a, b) => numberOf(a) - numberOf(b));
}

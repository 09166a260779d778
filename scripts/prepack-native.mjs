// prepack: builds the addon and puts it, stripped, where the package carries it:
// native/prebuilt/<platform>-<arch>/vram_residency.node. Node-API keeps its binary interface from Node version to version,
// so one file serves them all. An addon that needs a newer glibc than 2.28 is refused.
// Exit codes: those of build-native.mjs.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { OLDEST_GLIBC, portabilityProblems } from './portability.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const built = spawnSync(process.execPath, [`${root}scripts/build-native.mjs`], { stdio: 'inherit' });
if (built.status !== 0) process.exit(built.status ?? 1);

const problems = portabilityProblems(readFileSync(`${root}native/build/vram_residency.node`));
if (problems.length > 0) {
  process.stderr.write(
    `prepack: the addon would not run on every system with glibc ${OLDEST_GLIBC}: ${problems.join(', ')}\n`,
  );
  process.exit(1);
}

const folder = `native/prebuilt/${process.platform}-${process.arch}`;
mkdirSync(`${root}${folder}`, { recursive: true });
const target = `${root}${folder}/vram_residency.node`;
const fresh = `${target}.${process.pid}`;
copyFileSync(`${root}native/build/vram_residency.node`, fresh);
const stripped = spawnSync(process.env.STRIP || 'strip', ['--strip-unneeded', fresh], { stdio: 'inherit' });
if (stripped.error || stripped.status !== 0) {
  process.stderr.write('prepack: strip does not run; the addon is packed with its symbols\n');
}
renameSync(fresh, target);
process.stdout.write(`prepack: ${folder}/vram_residency.node (${statSync(target).size} bytes)\n`);

// The part of build:cuda that `--machine-code` asks for: cuda/build/vram.fatbin, from the committed PTX. It holds machine
// code for some architectures, and the PTX itself, which newer GPUs compile as ever. A choice for one's own machines: it is
// neither committed nor packed.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { knownArchitectures, numberOf, ptxas } from './ptxas-architectures.mjs';

const shipped = fileURLToPath(new URL('../cuda/vram.ptx', import.meta.url));
const usual = fileURLToPath(new URL('../cuda/build/vram.fatbin', import.meta.url));
const fatbinary = process.env['FATBINARY'] ?? 'fatbinary';
const nvidiaSmi = process.env['NVIDIA_SMI'] ?? 'nvidia-smi';
const PTX_ARCHITECTURE = 'sm_75';

/** A failure with the exit code that it leads to: 1 no machine code for what is there, 2 usage, 3 a tool is missing. */
export class Refusal extends Error {
  constructor(exitCode, message) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Compute capabilities of the GPUs present as `sm_XY`, one each; or a sentence on why they are not known. */
function presentArchitectures() {
  const asked = spawnSync(nvidiaSmi, ['--query-gpu=compute_cap', '--format=csv,noheader'], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (asked.error !== undefined) return `${nvidiaSmi} cannot be run`;
  if (asked.status !== 0) return `${nvidiaSmi} found none`;
  const lines = asked.stdout
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (lines.length === 0) return `${nvidiaSmi} found none`;
  if (!lines.every((line) => /^\d{1,2}\.\d$/.test(line)))
    return `the answer of ${nvidiaSmi} is not understood`;
  return [...new Set(lines.map((line) => `sm_${line.replace('.', '')}`))];
}

/** Those of a list that somebody wrote: `all`, or `sm_80,sm_90`. */
function listed(list, known) {
  if (list === 'all') return known;
  const names = [...new Set(list.split(','))];
  for (const name of names) {
    if (!known.includes(name)) {
      const shown = JSON.stringify(name.slice(0, 40));
      throw new Refusal(2, `--machine-code: ${shown} is none of all, ${known.join(', ')}`);
    }
  }
  return names;
}

/**
 * The architectures to make code for, oldest first, and why these. `list` is what was asked for, null for nothing in
 * particular.
 */
function choose(list) {
  const known = knownArchitectures();
  if (known.length === 0)
    throw new Refusal(3, `build:cuda --machine-code needs ${ptxas} (CUDA toolkit); the PTX does without it`);
  const inOrder = (names) => names.toSorted((a, b) => numberOf(a) - numberOf(b));
  if (list !== null) return { architectures: inOrder(listed(list, known)), why: 'as asked for', left: [] };
  const present = presentArchitectures();
  if (typeof present === 'string')
    return { architectures: known, why: `all that ptxas knows; no GPU to choose by: ${present}`, left: [] };
  const architectures = inOrder(present.filter((name) => known.includes(name)));
  const left = inOrder(present.filter((name) => !known.includes(name)));
  if (architectures.length === 0) {
    throw new Refusal(
      1,
      `the GPUs present (${left.join(', ')}) are none that this ptxas makes code for; name others, or use the PTX`,
    );
  }
  return { architectures, why: 'the GPUs present', left };
}

function run(program, args) {
  const done = spawnSync(program, args, { encoding: 'utf8' });
  if (done.error !== undefined)
    throw new Refusal(3, `build:cuda --machine-code needs ${program} (CUDA toolkit)`);
  if (done.status !== 0) throw new Refusal(1, `${program} failed:\n${done.stdout}${done.stderr}`);
}

/** Makes `output`, cuda/build/vram.fatbin if that is null, and says what is in it. Throws a Refusal. */
export function buildMachineCode(list, output) {
  const { architectures, why, left } = choose(list);
  console.log(`machine code for ${architectures.join(', ')}: ${why}`);
  for (const name of left)
    console.log(`none for ${name}, which this ptxas does not know or the kernels do not run on`);
  const target = output === null ? usual : resolve(output);
  const name = relative(process.cwd(), target);
  const folder = dirname(target);
  mkdirSync(folder, { recursive: true });
  // Written aside and renamed, so that readers of the old file get all of it.
  const work = mkdtempSync(join(folder, 'making-'));
  try {
    const images = architectures.map((architecture) => {
      const cubin = join(work, `${architecture}.cubin`);
      run(ptxas, [`-arch=${architecture}`, '-O3', shipped, '-o', cubin]);
      return `--image3=kind=elf,sm=${numberOf(architecture)},file=${cubin}`;
    });
    const ptx = `--image3=kind=ptx,sm=${numberOf(PTX_ARCHITECTURE)},file=${shipped}`;
    const fatbin = join(work, 'vram.fatbin');
    run(fatbinary, ['--64', '--compress=false', `--create=${fatbin}`, ...images, ptx]);
    const bytes = readFileSync(fatbin);
    renameSync(fatbin, target);
    const hash = createHash('sha256').update(bytes).digest('hex');
    console.log(`${name}: ${bytes.length} bytes, with the PTX for newer GPUs, sha256:${hash}`);
    console.log(`VRAM_RESIDENCY_CUDA_KERNELS=${name} loads it instead of the PTX`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

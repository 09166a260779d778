// Compiles cuda/vram.cu to the PTX that ships. `--check` proves that the committed PTX belongs to the committed source: by the hashes in
// its header always, by compiling again where the compiler that made it is installed. `--machine-code [all|sm_XY,...]` leaves that PTX alone
// and makes cuda/build/vram.fatbin of it, with machine code for the architectures named, else for the GPUs present, else for all.
// Exit codes: 0 done, 1 something does not fit together, 2 usage, 3 a tool is missing. NVCC, PTXAS, FATBINARY and NVIDIA_SMI name other tools.
//
// nvcc 13 writes PTX 9.0, which drivers before 580 refuse. The code uses nothing newer than PTX 8.0 and ptxas makes the same machine
// code of it under that version, which loads from driver 525 on; so the version line is lowered.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildMachineCode, Refusal } from './build-cuda-machine-code.mjs';

const PTX_VERSION = '8.0';
const ARCHITECTURE = 'compute_75';
const source = fileURLToPath(new URL('../cuda/vram.cu', import.meta.url));
const shipped = fileURLToPath(new URL('../cuda/vram.ptx', import.meta.url));
const nvcc = process.env['NVCC'] ?? 'nvcc';

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** `release 13.0, V13.0.88`, or null where there is no compiler. */
function compilerVersion() {
  const asked = spawnSync(nvcc, ['--version'], { encoding: 'utf8' });
  if (asked.error !== undefined || asked.status !== 0) return null;
  return /release .*$/m.exec(asked.stdout)?.[0] ?? null;
}

function compile() {
  const folder = mkdtempSync(join(tmpdir(), 'vram-residency-'));
  try {
    const output = join(folder, 'vram.ptx');
    const flags = ['-std=c++17', `-arch=${ARCHITECTURE}`, '-O3', '-Werror', 'all-warnings', '-ptx'];
    const done = spawnSync(nvcc, [...flags, source, '-o', output], { encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`nvcc failed:\n${done.stdout}${done.stderr}`);
    const body = readFileSync(output, 'utf8');
    const lowered = body.replace(/^\.version .*$/m, `.version ${PTX_VERSION}`);
    if (!lowered.includes(`\n.version ${PTX_VERSION}\n`)) throw new Error('nvcc wrote no .version line');
    return lowered;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function withHeader(body, version) {
  const lines = [
    '// Made by `npm run build:cuda` from cuda/vram.cu; not edited by hand.',
    `// source sha256: ${sha256(readFileSync(source))}`,
    `// body sha256: ${sha256(body)}`,
    `// compiler: nvcc ${version}`,
  ];
  return `${lines.join('\n')}\n${body}`;
}

function headerOf(text) {
  const header =
    /^\/\/ Made by .*\n\/\/ source sha256: (.+)\n\/\/ body sha256: (.+)\n\/\/ compiler: nvcc (.+)\n/.exec(
      text,
    );
  if (header === null) return null;
  return { source: header[1], body: header[2], compiler: header[3], length: header[0].length };
}

/** The reasons why the shipped PTX does not belong to the source, as its own header tells; empty if it does. */
function headerProblems() {
  if (!existsSync(shipped)) return ['cuda/vram.ptx is missing: run `npm run build:cuda`'];
  const text = readFileSync(shipped, 'utf8');
  const header = headerOf(text);
  if (header === null) return ['cuda/vram.ptx has no header: run `npm run build:cuda`'];
  const problems = [];
  if (header.source !== sha256(readFileSync(source)))
    problems.push('cuda/vram.cu changed since cuda/vram.ptx was made');
  if (header.body !== sha256(text.slice(header.length))) problems.push('cuda/vram.ptx was edited by hand');
  return problems;
}

/** The same, and what compiling again shows. */
function check() {
  const problems = headerProblems();
  const text = existsSync(shipped) ? readFileSync(shipped, 'utf8') : '';
  const header = headerOf(text);
  if (header === null) return problems;
  const version = compilerVersion();
  if (version !== header.compiler) {
    console.log(`SKIPPED: recompilation (needs nvcc ${header.compiler}; here: ${version ?? 'none'})`);
  } else if (withHeader(compile(), version) === text) {
    console.log(`cuda/vram.ptx: compiled again with nvcc ${version}, identical`);
  } else {
    problems.push('compiling cuda/vram.cu again gives another PTX');
  }
  return problems;
}

function stopAt(problems) {
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exit(1);
}

function makePtx() {
  const version = compilerVersion();
  if (version === null) {
    throw new Refusal(
      3,
      'build:cuda needs nvcc (CUDA toolkit); the committed cuda/vram.ptx is used without it',
    );
  }
  const text = withHeader(compile(), version);
  writeFileSync(shipped, text);
  console.log(
    `cuda/vram.ptx: ${text.length} characters, PTX ${PTX_VERSION}, ${ARCHITECTURE}, nvcc ${version}`,
  );
}

const USAGE = 'usage: build-cuda [--check | --machine-code [all | sm_XY,...] [--output FILE]]';

/** What the arguments ask for. Throws a Refusal for any that are not understood. */
function readArguments([task, ...rest]) {
  if (![undefined, '--check', '--machine-code'].includes(task)) throw new Refusal(2, USAGE);
  let list = null;
  if (task === '--machine-code' && rest.length > 0 && rest[0] !== '--output') {
    list = rest.shift();
    if (!/^(all|sm_\d+[a-z]?(,sm_\d+[a-z]?)*)$/.test(list)) throw new Refusal(2, USAGE);
  }
  const output = task === '--machine-code' && rest.length === 2 && rest[0] === '--output' ? rest[1] : null;
  if (output === '' || (output === null && rest.length > 0)) throw new Refusal(2, USAGE);
  return { task, list, output };
}

try {
  const { task, list, output } = readArguments(process.argv.slice(2));
  if (task === '--check') {
    stopAt(check());
    console.log('cuda/vram.ptx: header agrees with source and body');
  } else if (task === '--machine-code') {
    stopAt(headerProblems());
    buildMachineCode(list, output);
  } else {
    makePtx();
  }
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  console.error(error.message);
  process.exitCode = error.exitCode;
}

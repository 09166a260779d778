// Compiles cuda/vram.cu to the PTX that ships. `--check` proves that the committed PTX belongs to the committed source: by the hashes in
// its header always, by compiling again where the compiler that made it is installed.
//
// nvcc 13 writes PTX 9.0, which drivers before 580 refuse. The code uses nothing newer than PTX 8.0 and ptxas makes the same machine
// code of it under that version, which loads from driver 525 on; so the version line is lowered.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

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

/** The reasons why the shipped PTX is not what it should be; empty if all is well. */
function check() {
  if (!existsSync(shipped)) return ['cuda/vram.ptx is missing: run `npm run build:cuda`'];
  const text = readFileSync(shipped, 'utf8');
  const header = headerOf(text);
  if (header === null) return ['cuda/vram.ptx has no header: run `npm run build:cuda`'];
  const problems = [];
  if (header.source !== sha256(readFileSync(source)))
    problems.push('cuda/vram.cu changed since cuda/vram.ptx was made');
  if (header.body !== sha256(text.slice(header.length))) problems.push('cuda/vram.ptx was edited by hand');
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

if (process.argv.includes('--check')) {
  const problems = check();
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exit(1);
  console.log('cuda/vram.ptx: header agrees with source and body');
} else {
  const version = compilerVersion();
  if (version === null) {
    console.error('build:cuda needs nvcc (CUDA toolkit); the committed cuda/vram.ptx is used without it');
    process.exit(3);
  }
  const text = withHeader(compile(), version);
  writeFileSync(shipped, text);
  console.log(
    `cuda/vram.ptx: ${text.length} characters, PTX ${PTX_VERSION}, ${ARCHITECTURE}, nvcc ${version}`,
  );
}

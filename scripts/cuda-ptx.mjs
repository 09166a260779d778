// The device programs, CUDA C++ beside the PTX that is committed for it, and how to prove that the two belong together. The
// PTX names its sources and carries two hashes in its header: of the sources, and of its own text below.
//
// nvcc 13 writes PTX 9.0, which drivers before 580 refuse. The code uses nothing newer than PTX 8.0 and ptxas makes the same
// machine code of it under that version, which loads from driver 525 on; so the version line is lowered.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const PTX_VERSION = '8.0';
const ARCHITECTURE = 'compute_75';
const root = fileURLToPath(new URL('..', import.meta.url));
const nvcc = process.env['NVCC'] ?? 'nvcc';

/** What the package ships. Paths here are relative to the root of the repository. */
export const SHIPPED = 'cuda/vram.ptx';
/** The same PTX again, for users who have the Python package and no repository. */
const PYTHON_COPY = 'clients/python/src/vram_residency/vram.ptx';
/** What the measurements on real GPUs run besides; no package holds it. */
const VARIANTS = 'cuda/variants';

const namesIn = (folder, extension) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith(extension))
    .sort()
    .map((name) => `${folder}/${name}`);

/** The PTX of every program, the shipped one first, whether or not it has been compiled yet. */
export function programs() {
  const sources = namesIn(VARIANTS, '.cu').map((source) => source.replace(/\.cu$/, '.ptx'));
  return [SHIPPED, ...new Set([...sources, ...namesIn(VARIANTS, '.ptx')])];
}

const sourceOf = (ptx) => ptx.replace(/\.ptx$/, '.cu');
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const read = (path) => readFileSync(join(root, path), 'utf8');

/** A source and what it includes with quotes, each once, in the order of their first mention. */
function sourcesOf(source, seen = new Set()) {
  if (seen.has(source)) return seen;
  seen.add(source);
  for (const [, name] of read(source).matchAll(/^#include "(.+)"$/gm)) {
    sourcesOf(normalize(join(dirname(source), name)), seen);
  }
  return seen;
}

/** `release 13.0, V13.0.88`, or null without a compiler. */
export function compilerVersion() {
  const asked = spawnSync(nvcc, ['--version'], { encoding: 'utf8' });
  if (asked.error !== undefined || asked.status !== 0) return null;
  return /release .*$/m.exec(asked.stdout)?.[0] ?? null;
}

function run(program, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        said += text;
      });
    }
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`${program} ${args.join(' ')} failed:\n${said}`)),
    );
  });
}

async function compile(source) {
  const folder = mkdtempSync(join(tmpdir(), 'vram-residency-'));
  try {
    const output = join(folder, 'out.ptx');
    const flags = ['-std=c++17', `-arch=${ARCHITECTURE}`, '-O3', '-Werror', 'all-warnings', '-ptx'];
    await run(nvcc, [...flags, join(root, source), '-o', output]);
    const body = readFileSync(output, 'utf8');
    const lowered = body.replace(/^\.version .*$/m, `.version ${PTX_VERSION}`);
    if (!lowered.includes(`\n.version ${PTX_VERSION}\n`)) throw new Error('nvcc wrote no .version line');
    return lowered;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function withHeader(body, source, version) {
  const sources = [...sourcesOf(source)];
  const lines = [
    `// Made by \`npm run build:cuda\` from ${sources.join(', ')}; not edited by hand.`,
    `// source sha256: ${sha256(sources.map(read).join(''))}`,
    `// body sha256: ${sha256(body)}`,
    `// compiler: nvcc ${version}`,
  ];
  return `${lines.join('\n')}\n${body}`;
}

function headerOf(text) {
  const header =
    /^\/\/ Made by .* from (.+); .*\n\/\/ source sha256: (.+)\n\/\/ body sha256: (.+)\n\/\/ compiler: nvcc (.+)\n/.exec(
      text,
    );
  if (header === null) return null;
  const [whole, sources, source, body, compiler] = header;
  return { sources, source, body, compiler, length: whole.length };
}

/** Compiles a program's source and writes its PTX; how many characters that has. */
export async function makePtx(ptx, version) {
  const source = sourceOf(ptx);
  const text = withHeader(await compile(source), source, version);
  writeFileSync(join(root, ptx), text);
  if (ptx === SHIPPED) writeFileSync(join(root, PYTHON_COPY), text);
  return `${ptx}: ${text.length} characters, PTX ${PTX_VERSION}, ${ARCHITECTURE}, nvcc ${version}`;
}

/** The reasons why a program's PTX does not belong to its source, according to its header; empty if it does. */
export function headerProblems(ptx) {
  const source = sourceOf(ptx);
  if (!existsSync(join(root, source))) return [`${ptx} has no source ${source}`];
  if (!existsSync(join(root, ptx))) return [`${ptx} is missing: run \`npm run build:cuda\``];
  const text = read(ptx);
  const header = headerOf(text);
  if (header === null) return [`${ptx} has no header: run \`npm run build:cuda\``];
  const sources = [...sourcesOf(source)];
  const problems = [];
  if (header.sources !== sources.join(', ') || header.source !== sha256(sources.map(read).join('')))
    problems.push(`${sources.join(' or ')} changed since ${ptx} was made`);
  if (header.body !== sha256(text.slice(header.length))) problems.push(`${ptx} was edited by hand`);
  if (ptx === SHIPPED && (!existsSync(join(root, PYTHON_COPY)) || read(PYTHON_COPY) !== text))
    problems.push(`${PYTHON_COPY} is not ${SHIPPED}: copy it there`);
  return problems;
}

/** The same, and what compiling again shows, as `{ problems, said }`: `said` is for people. */
export async function check(ptx, version) {
  const problems = headerProblems(ptx);
  if (problems.length > 0) return { problems, said: [] };
  const text = read(ptx);
  const { compiler } = headerOf(text);
  const source = sourceOf(ptx);
  if (version !== compiler) {
    const skipped = `${ptx}: SKIPPED: recompilation (needs nvcc ${compiler}; here: ${version ?? 'none'})`;
    return { problems, said: [skipped, `${ptx}: header agrees with source and body`] };
  }
  if (withHeader(await compile(source), source, version) !== text)
    return { problems: [`compiling ${source} again gives another PTX`], said: [] };
  return { problems, said: [`${ptx}: compiled again with nvcc ${version}, identical`] };
}

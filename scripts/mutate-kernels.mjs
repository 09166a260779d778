// npm run mutate:kernels [-- --backend webgpu|cuda] [--limit N] [--stride N]: mutates constants, bounds, operators and
// indexes of the shaders, of the generated SHA-256 and of the PTX, one at a time, and shows that each is refused at open by
// the known answers or killed by the contract suite. WebGPU runs on the adapter that tests use, CUDA on the test driver.
// Writes reports/kernel-mutants.json; exit code 1 if a mutant survives.
import { fork } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { ptxMutants, spread, wgslMutants } from './kernel-mutants.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({
  options: {
    backend: { type: 'string', multiple: true, default: ['webgpu', 'cuda'] },
    limit: { type: 'string', default: '1000' },
    stride: { type: 'string', default: '250' },
    only: { type: 'string' },
  },
});
/** Time limit that kills a mutant in an endless loop. */
const LIMIT_MS = 120_000;
const HASH_MUTANTS = 40;
const bundle = `${root}.cache/kernel-mutants/worker.mjs`;

/** Modules that read their texts at each call, so one process can try many mutants. */
const replaced = {
  name: 'mutated kernels',
  setup(plugin) {
    plugin.onResolve({ filter: /generated\/(ptx|shaders)\.js$/ }, ({ path }) => ({
      path: /ptx/.test(path) ? 'ptx' : 'shaders',
      namespace: 'mutated',
    }));
    plugin.onResolve({ filter: /sha256-wgsl\.js$/ }, ({ importer }) =>
      /kernels\.ts$/.test(importer) ? { path: 'sha256', namespace: 'mutated' } : undefined,
    );
    plugin.onLoad({ filter: /.*/, namespace: 'mutated' }, ({ path }) => ({
      contents: STANDINS[path],
      loader: 'js',
    }));
  },
};
const SHADERS = ['copy', 'fill', 'leaves', 'nodes', 'scattered', 'work'];
const STANDINS = {
  ptx: "export const ptx = { get vram() { return globalThis.mutatedKernels['vram.ptx']; } };",
  shaders: `export const shaders = { ${SHADERS.map(
    (name) => `get ${name}() { return globalThis.mutatedKernels['${name}.wgsl']; }`,
  ).join(', ')} };`,
  sha256: "export const sha256Wgsl = () => globalThis.mutatedKernels['sha256'];",
};

async function bundled(entry, outfile, plugins) {
  await build({
    entryPoints: [`${root}${entry}`],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'error',
    plugins,
  });
}

const texts = {};
for (const name of SHADERS) {
  texts[`${name}.wgsl`] = readFileSync(`${root}shaders/${name}.wgsl`, 'utf8');
}
texts['vram.ptx'] = readFileSync(`${root}cuda/vram.ptx`, 'utf8');
for (const folder of ['.cache/kernel-mutants', 'reports']) mkdirSync(root + folder, { recursive: true });
await bundled('test/support/kernel-mutants.ts', bundle, [replaced]);
const generator = `${root}.cache/kernel-mutants/sha256.mjs`;
await bundled('src/device/webgpu/sha256-wgsl.ts', generator, []);
const { sha256Wgsl } = await import(generator);
texts.sha256 = sha256Wgsl('unrolled');

const shaderMutants = Object.keys(texts)
  .filter((name) => name.endsWith('.wgsl'))
  .flatMap((name) => wgslMutants(name, texts[name]));
const hashMutants = ['unrolled', 'looped'].flatMap((variant) =>
  spread(wgslMutants('sha256', sha256Wgsl(variant)), HASH_MUTANTS).map((one) => ({ ...one, variant })),
);
const jobs = [
  ...(values.backend.includes('webgpu')
    ? [...shaderMutants, ...hashMutants].map((mutant) => ({ ...mutant, backend: 'webgpu' }))
    : []),
  ...(values.backend.includes('cuda')
    ? ptxMutants('vram.ptx', texts['vram.ptx'], Number(values.stride)).map((mutant) => ({
        ...mutant,
        backend: 'cuda',
      }))
    : []),
].filter((job) => values.only === undefined || keyOf(job).includes(values.only));

let worker = null;
function ask(job) {
  worker ??= fork(bundle, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
  const asked = worker;
  return new Promise((resolve) => {
    const end = (answer, keep) => {
      clearTimeout(timer);
      asked.removeAllListeners();
      if (!keep) {
        asked.kill('SIGKILL');
        worker = null;
      }
      resolve(answer);
    };
    const timer = setTimeout(() => end({ fate: 'killed: it did not end' }, false), LIMIT_MS);
    asked.once('message', (answer) => end(answer, true));
    asked.once('exit', (code, signal) =>
      end({ fate: 'killed: the process ended', by: String(signal ?? code) }, false),
    );
    asked.send(job);
  });
}

function keyOf({ file, source, from, to }) {
  return `${file}: ${source}: ${from} -> ${to}`;
}

// The unchanged texts have to pass; otherwise the results mean nothing.
for (const backend of values.backend) {
  const verdict = await ask({ backend, texts });
  console.log(`unchanged on ${backend}: ${JSON.stringify(verdict)}`);
  if (verdict.fate !== 'survived') process.exit(1);
}

const results = [];
for (const { text, ...mutant } of spread(jobs, Number(values.limit))) {
  const verdict = await ask({ backend: mutant.backend, texts: { ...texts, [mutant.file]: text } });
  if (verdict.problem !== undefined) throw new Error(verdict.problem);
  results.push({ ...mutant, ...verdict });
  writeFileSync(`${root}reports/kernel-mutants.json`, `${JSON.stringify(results, null, 1)}\n`);
  if (verdict.fate === 'survived') console.log(`SURVIVED ${keyOf(mutant)} (line ${mutant.line})`);
}
worker?.kill();

console.log(
  '| text | mutants | refused at open | killed by the contract suite | did not end or crashed | survived |',
);
console.log('|---|---|---|---|---|---|');
for (const file of new Set(results.map((one) => one.file))) {
  const own = results.filter((one) => one.file === file);
  const of = (pattern) => own.filter(({ fate }) => pattern.test(fate)).length;
  console.log(
    `| ${file} | ${own.length} | ${of(/^refused/)} | ${of(/^killed by/)} | ${of(/^killed:/)} | ${of(/^survived/)} |`,
  );
}
const survivors = results.filter(({ fate }) => fate === 'survived');
console.log(`${results.length} mutants, ${survivors.length} survived`);
process.exit(survivors.length === 0 ? 0 : 1);

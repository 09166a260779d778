// Compiles cuda/vram.cu to the PTX that ships, and cuda/variants/*.cu to the PTX that measurements run. `--check` proves
// that the committed PTX belongs to the committed sources: by the hashes in its header always, by compiling again where the
// compiler that made it is installed. `--machine-code [all|sm_XY,...]` leaves the shipped PTX alone and makes
// cuda/build/vram.fatbin of it, with machine code for the architectures named, else for the GPUs present, else for all.
// Exit codes: 0 done, 1 PTX and sources do not match, 2 usage, 3 a tool is missing. NVCC, PTXAS, FATBINARY and NVIDIA_SMI
// name other tools.
import { availableParallelism } from 'node:os';
import { buildMachineCode, Refusal } from './build-cuda-machine-code.mjs';
import { check, compilerVersion, headerProblems, makePtx, programs, SHIPPED } from './cuda-ptx.mjs';

/** Runs `work` for every item, as many at a time as there are cores. Returns the results in order. */
async function ofEach(items, work) {
  const results = [];
  let next = 0;
  const worker = async () => {
    for (let at = next++; at < items.length; at = next++) results[at] = await work(items[at]);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return results;
}

function stopAt(problems) {
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exit(1);
}

async function checkAll() {
  const version = compilerVersion();
  const results = await ofEach(programs(), (ptx) => check(ptx, version));
  for (const line of results.flatMap(({ said }) => said)) console.log(line);
  stopAt(results.flatMap(({ problems }) => problems));
}

async function makeAll() {
  const version = compilerVersion();
  if (version === null) {
    throw new Refusal(3, 'build:cuda needs nvcc (CUDA toolkit); the committed PTX is used without it');
  }
  for (const line of await ofEach(programs(), (ptx) => makePtx(ptx, version))) console.log(line);
}

const USAGE = 'usage: build-cuda [--check | --machine-code [all | sm_XY,...] [--output FILE]]';

/** The requested task. Throws a Refusal for unknown arguments. */
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
    await checkAll();
  } else if (task === '--machine-code') {
    stopAt(headerProblems(SHIPPED));
    buildMachineCode(list, output);
  } else {
    await makeAll();
  }
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  console.error(error.message);
  process.exitCode = error.exitCode;
}

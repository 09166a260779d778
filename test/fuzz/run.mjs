import { readdirSync } from 'node:fs';
import { Random } from './random.mjs';

/**
 * A target is a module in targets/ that exports
 *
 *   name       for the command line
 *   modules    paths of library modules under src/ or dist/, such as 'models/gguf.js'
 *   cost       optional: how many times slower than most it is; it is run as many times less often
 *   missing    optional: why it cannot be run here, or null
 *   create(lib) with the modules' exports in one object; returns { make, check }:
 *     make(random)   an input
 *     check(input)   runs the library; returns 'accepted' or the message of a refusal, throws if the library
 *                    misbehaves; may be async
 */
export async function loadTargets() {
  const files = readdirSync(new URL('./targets/', import.meta.url)).filter((file) => file.endsWith('.mjs'));
  const targets = await Promise.all(
    files.sort().map((file) => import(new URL(`./targets/${file}`, import.meta.url).href)),
  );
  return targets;
}

export class FuzzFailure extends Error {
  constructor(target, seed, run, input, cause) {
    super(`${target}: run ${run} of seed ${seed} failed: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
    this.name = 'FuzzFailure';
    this.input = input;
  }
}

/**
 * Runs a target, `runs` times or for `milliseconds`, whichever ends first. `load` imports a library module; `only` repeats
 * one run.
 */
export async function fuzz(
  target,
  load,
  { runs, seed, milliseconds = Infinity, only = null, onProgress = () => {} },
) {
  const lib = Object.assign({}, ...(await Promise.all(target.modules.map(load))));
  const { make, check } = await target.create(lib);
  const refusals = new Map();
  let accepted = 0;
  const first = only ?? 0;
  const last = only === null ? runs : only + 1;
  const end = performance.now() + milliseconds;
  let run = first;
  for (; run < last && performance.now() < end; run++) {
    const input = make(new Random(seed, run));
    let outcome;
    try {
      outcome = await check(input);
    } catch (cause) {
      throw new FuzzFailure(target.name, seed, run, input, cause);
    }
    if (outcome === 'accepted') accepted += 1;
    else count(refusals, kindOf(outcome));
    if (run % 10_000 === 9_999) onProgress(run + 1);
  }
  const done = run - first;
  return { target: target.name, seed, runs: done, accepted, refused: done - accepted, refusals };
}

/** A refusal without its names and numbers. */
function kindOf(message) {
  return message
    .replace(/"(?:[^"\\]|\\.)*"/g, '"…"')
    .replace(/\d+/g, 'N')
    .slice(0, 120);
}

function count(map, key) {
  map.set(key, (map.get(key) ?? 0) + 1);
}

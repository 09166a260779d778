// Loaded first into every Node process of a run over the test driver (`run.sh --emulated`). It brings about the failures that tests ask
// for: VRAM_KIT_FAULTS is JSON, {"step": NAME | null, "settings": {...}, "fail": [[call, nth, result]],
// "hang": true, "crash": true}; `step` confines it to one step's processes.
import { dlopen, env, kill, pid } from 'node:process';
import { isMainThread } from 'node:worker_threads';

const { VRAM_RESIDENCY_LIBCUDA: library, VRAM_KIT_FAULTS: faults, VRAM_KIT_STEP_NAME: step } = env;

if (isMainThread && library !== undefined && faults !== undefined) plan(JSON.parse(faults));

function plan({ step: only = null, settings = {}, fail = [], hang = false, crash = false }) {
  if (only !== null && only !== step) return;
  const control = { exports: {} };
  dlopen(control, library);
  control.exports.reset(settings);
  for (const [call, nth, result, effect] of fail) control.exports.failCall(call, nth, result, effect);
  if (crash) kill(pid, 'SIGSEGV');
  while (hang) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000);
}

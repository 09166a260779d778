// Loaded first into every Node process of a run over the test driver (`run.sh --emulated`). It causes the failures that
// tests request: VRAM_KIT_FAULTS is a JSON list of {"step", "settings", "fail", "crash", "hang"}; the entry with
// this process's step is carried out. `settings` and `fail` ([call, nth, result] each) go to the test driver; `crash` and
// `hang` are done here.
import { dlopen, env, kill, pid } from 'node:process';
import { isMainThread } from 'node:worker_threads';

const { VRAM_RESIDENCY_LIBCUDA: library, VRAM_KIT_FAULTS: faults, VRAM_KIT_STEP_NAME: own } = env;

if (isMainThread && library !== undefined && faults !== undefined) {
  for (const fault of JSON.parse(faults)) if (fault.step === own) carryOut(fault);
}

function carryOut({ settings = {}, fail = [], crash = false, hang = false }) {
  const control = { exports: {} };
  dlopen(control, library);
  control.exports.reset(settings);
  for (const [call, nth, result] of fail) control.exports.failCall(call, nth, result);
  if (crash) kill(pid, 'SIGSEGV');
  if (hang) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

// One step of the hardware kit: `steps.mjs NAME`, started by the runner, which reads the result file. Also the processes
// that steps start for themselves: `steps.mjs --open N | --lose N | --verify N`, one JSON document on stdout each.
import { argv, env, exit, stdout } from 'node:process';
import { readSetting, SETTING_VARIABLE } from '../runner/step-setting.js';
import { loseChild, openChild, verifyChild } from './children.js';
import { Failure, Skip, StepContext, Unusable } from './context.js';
import { drill } from './drill.js';
import { engine } from './engine.js';
import { environment } from './environment.js';
import { guard } from './guard.js';
import { jit } from './jit.js';
import { loss } from './loss.js';
import { manyTensors } from './many-tensors.js';
import { probe } from './probe.js';
import { profile } from './profile.js';
import { pytorch } from './pytorch.js';
import { readonlyProbe } from './readonly-probe.js';
import { scrub } from './scrub.js';
import { seal } from './seal.js';
import { selftest } from './selftest.js';
import { sharing } from './sharing.js';
import { suite } from './suites.js';
import { survivors } from './survivors.js';
import { upload } from './upload.js';
import { variants } from './variants.js';
import { verifySweep } from './verify-sweep.js';
import { webgpu } from './webgpu.js';

const STEPS: Readonly<Record<string, (context: StepContext) => Promise<void>>> = {
  environment,
  selftest,
  contract: suite('contract'),
  drill,
  'verify-sweep': verifySweep,
  variants,
  'readonly-probe': readonlyProbe,
  groups: suite('groups'),
  upload,
  seal,
  'many-tensors': manyTensors,
  guard: guard('guard_step.py'),
  'guard-torch': guard('guard_torch_step.py'),
  sharing,
  pytorch,
  survivors,
  jit,
  scrub,
  loss,
  probe,
  webgpu,
  engine,
  profile,
};

const CHILDREN: Readonly<
  Record<string, (index: number) => Promise<Readonly<Record<string, string | number>>>>
> = {
  '--open': openChild,
  '--lose': loseChild,
  '--verify': verifyChild,
};

async function runStep(name: string): Promise<void> {
  const step = STEPS[name];
  if (step === undefined) throw new Error(`there is no step "${name}"`);
  const context = new StepContext(readSetting(env[SETTING_VARIABLE]));
  try {
    await step(context);
    context.end({ status: 'passed', reason: null, unusable: false });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (error instanceof Skip) return context.end({ status: 'skipped', reason, unusable: false });
    // The stack goes to the log; a failed check needs none.
    if (!(error instanceof Failure || error instanceof Unusable)) console.error(error);
    context.end({ status: 'failed', reason, unusable: error instanceof Unusable });
  }
}

const [, , name = '', index = ''] = argv;
const child = CHILDREN[name];
if (child !== undefined) stdout.write(`${JSON.stringify(await child(Number(index)))}\n`);
else await runStep(name);
// A driver's threads, or a handle that a failure left open, must not keep the process.
exit(0);

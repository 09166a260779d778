import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, kitPath, type StepContext } from './context.js';
import { Fields, parseDocument } from './json.js';
import { rounded } from './measuring.js';
import { endInWords } from './program.js';

const FAT_BINARY = '../cuda/vram.fatbin';

/**
 * How long a fresh process takes to open the device: compiling the PTX, with the compiled PTX cached, and with machine
 * code supplied.
 */
export async function jit(context: StepContext): Promise<void> {
  const ptxCache = { CUDA_CACHE_PATH: join(context.setting.workFolder, 'ptx-cache') };
  context.figure('ptx', {
    firstMs: await openMs(context, ptxCache),
    secondMs: await openMs(context, ptxCache),
    uncachedMs: await openMs(context, { CUDA_CACHE_DISABLE: '1' }),
  });
  if (!existsSync(kitPath(FAT_BINARY))) {
    context.figure('machineCode', 'not in this kit: it was made without ptxas and fatbinary');
    return;
  }
  const machineCode = {
    CUDA_CACHE_PATH: join(context.setting.workFolder, 'machine-code-cache'),
    VRAM_RESIDENCY_CUDA_KERNELS: kitPath(FAT_BINARY),
  };
  context.figure('machineCode', {
    firstMs: await openMs(context, machineCode),
    secondMs: await openMs(context, machineCode),
  });
}

async function openMs(context: StepContext, env: Readonly<Record<string, string>>): Promise<number> {
  const run = await context.kitProgram('steps.mjs', ['--open', String(context.setting.device)], env);
  if (run.code !== 0) throw new Failure(`opening the device in a fresh process: ${endInWords(run)}`);
  return rounded(new Fields(parseDocument(run.stdout, 'the child'), 'the child').number('openMs'));
}

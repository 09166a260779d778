import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { env, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { replaceText } from '../support/binary.js';
import type { PresentTestbed } from '../support/cuda.js';
import { testDriverPath } from './testbed.js';

const ENTRY = fileURLToPath(new URL('../../dist/index.js', import.meta.url));

/**
 * Writes the test driver into a folder, with another name for the function that tells what it is: there it claims to be
 * real.
 */
export function foreignDriver(bed: PresentTestbed, folder: string): string {
  const path = join(folder, 'libcuda.so.1');
  writeFileSync(path, replaceText(readFileSync(testDriverPath(bed)), 'vrEmulator', 'vrEmulatoR'));
  return path;
}

/** The environment in which the loader finds that driver first. */
export function foundFirst(folder: string): Readonly<Record<string, string>> {
  return { LD_LIBRARY_PATH: folder, VRAM_RESIDENCY_LIBCUDA: '', VRAM_RESIDENCY_CUDA_KERNELS: '' };
}

/**
 * Opens managers of the built package on cuda:0 in a process of its own, one after the other with these options, and gives
 * for each what `body`, the text of an async function of `manager` and of the package's exports as `vram`, returned; or the
 * error as `{ code, message }`.
 */
export function withForeignManagers(
  environment: Readonly<Record<string, string>>,
  folder: string,
  options: readonly object[],
  body: string,
): readonly unknown[] {
  const code = `
    const vram = await import(${JSON.stringify(ENTRY)});
    const body = async (manager) => { ${body} };
    const attestationKey = await vram.openAttestationKey({ workerId: 'w' });
    const results = [];
    for (const options of ${JSON.stringify(options)}) {
      try {
        const manager = await vram.VramManager.open({ device: 'cuda:0', workerId: 'w', attestationKey, ...options });
        results.push(await body(manager));
        await manager.close();
      } catch ({ code, message }) {
        results.push({ code, message });
      }
    }
    console.log(JSON.stringify(results));`;
  const { stdout, stderr } = spawnSync(execPath, ['--input-type=module', '-e', code], {
    encoding: 'utf8',
    env: { ...env, ...environment, XDG_STATE_HOME: folder },
  });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout);
}

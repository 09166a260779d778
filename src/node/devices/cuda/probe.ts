import { execFile } from 'node:child_process';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { checkInteger, VramError } from '../../../base/index.js';
import type { Backend, Device } from '../../../device/index.js';

/** The outcome of a kernel's store to a frozen region. */
export interface StoreProbe {
  /**
   * `faulted`: the store was refused and the context is void, as expected; `stored`: the sealed bytes changed;
   * `ignored`: nothing happened;
   * `unprotected`: the driver granted no read-only mapping, so nothing was tried.
   */
  readonly outcome: 'faulted' | 'stored' | 'ignored' | 'unprotected';
  /** The driver's message, if it refused. */
  readonly detail: string;
}

const OUTCOMES = ['faulted', 'stored', 'ignored', 'unprotected'] as const;
const PROBE_BYTES = 4096;
const PROBE_VALUE = 0x5a;
const TIMEOUT_MS = 120_000;

/** One thread stores one word. */
const STORE_PTX = `
.version 8.0
.target sm_75
.address_size 64
.visible .entry store_probe(
	.param .u64 store_probe_param_0
)
{
	.reg .b32 	%r<2>;
	.reg .b64 	%rd<3>;
	ld.param.u64 	%rd1, [store_probe_param_0];
	cvta.to.global.u64 	%rd2, %rd1;
	mov.u32 	%r1, 0;
	st.global.u32 	[%rd2], %r1;
	ret;
}
`;

/**
 * Tries a kernel store to a frozen region. A store that is refused voids the CUDA context of the whole process: in a
 * process that serves, call probeReadOnlyStore instead. Errors: those of open() and of the region.
 */
export async function tryStore(backend: Backend, index: number): Promise<StoreProbe> {
  const device = await backend.open(index);
  try {
    return await storeOn(device);
  } finally {
    await device.close();
  }
}

async function storeOn(device: Device): Promise<StoreProbe> {
  const region = await device.allocate(PROBE_BYTES);
  try {
    await region.write(0, new Uint8Array(PROBE_BYTES).fill(PROBE_VALUE));
    const immutability = await region.freeze();
    if (immutability !== 'mmu-readonly') return { outcome: 'unprotected', detail: immutability };
    const binding = region.view(0, PROBE_BYTES);
    if (binding.kind !== 'cuda')
      throw new VramError('INVALID_INPUT', 'the store probe is for CUDA devices alone');
    try {
      await binding.launch({
        module: STORE_PTX,
        entry: 'store_probe',
        grid: [1, 1, 1],
        block: [1, 1, 1],
        args: [{ weights: { offset: 0, length: PROBE_BYTES } }],
      });
      await binding.end();
    } catch (error) {
      if (!(error instanceof VramError) || error.code !== 'DEVICE_LOST') throw error;
      return { outcome: 'faulted', detail: error.message };
    }
    const bytes = await region.read(0, PROBE_BYTES);
    const same = bytes.every((byte) => byte === PROBE_VALUE);
    return { outcome: same ? 'ignored' : 'stored', detail: 'the driver reported no error' };
  } finally {
    // The context is void after a fault: memory that cannot be freed goes with it.
    await region.release().catch(() => undefined);
  }
}

/** Documented in devices/index.ts. */
export async function probeReadOnlyStore(index: number): Promise<StoreProbe> {
  checkInteger('index', index, 0);
  const child = fileURLToPath(new URL('./probe-child.js', import.meta.url));
  let stdout: string;
  try {
    ({ stdout } = await promisify(execFile)(execPath, [child, String(index)], { timeout: TIMEOUT_MS }));
  } catch (cause) {
    const words = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : '';
    throw new VramError(
      'DEVICE_UNAVAILABLE',
      `the store probe gave no answer${words === '' ? '' : `: ${words}`}`,
      { cause },
    );
  }
  return readAnswer(stdout);
}

/** The child's output. Errors: DEVICE_UNAVAILABLE if it is not a valid answer. */
export function readAnswer(text: string): StoreProbe {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch (cause) {
    throw new VramError('DEVICE_UNAVAILABLE', 'the store probe gave an answer that is not JSON', { cause });
  }
  if (typeof answer === 'object' && answer !== null && 'outcome' in answer && 'detail' in answer) {
    const outcome = OUTCOMES.find((known) => known === answer.outcome);
    if (outcome !== undefined && typeof answer.detail === 'string') return { outcome, detail: answer.detail };
  }
  throw new VramError('DEVICE_UNAVAILABLE', 'the store probe gave an answer of an unknown form');
}

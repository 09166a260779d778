import {
  checkOptions,
  invalidInput,
  type OptionKeys,
  throwIfAborted,
  type VerificationReport,
  VramError,
} from '../../base/index.js';
import { TRACE_KEYS } from '../../events/index.js';
import type { ExecuteOptions, WebGpuLease } from '../../manager/index.js';
import type { EngineTensor, EngineType } from './engine.js';
import { engineError, engineTurns, OnnxSession, type SessionState } from './session.js';
import type { Ledger, WatchedTensor, WitnessCounts } from './witness/index.js';

/** As for VramManager.execute(). */
export type RunOptions = Omit<ExecuteOptions, 'tensor'>;

const RUN_KEYS = {
  ...TRACE_KEYS,
  maxAgeMs: true,
  recheck: true,
  signal: true,
} satisfies OptionKeys<RunOptions>;

/** What the engine did with the sealed weights in one run. */
export interface Witness extends WitnessCounts {
  /** Tensors of the manifest; `tensors` of them were bound, all of them or the run is refused. */
  readonly sealedTensors: number;
}

/** The result of a run. */
export interface RunResult<Tensor> {
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** The verification before this run; null where `maxAgeMs` accepted an earlier one. */
  readonly report: VerificationReport | null;
  readonly witness: Witness;
}

/** The engine's error code for a wrong argument of a run: OrtErrorCode 2 is ORT_INVALID_ARGUMENT. */
const INVALID_ARGUMENT = /ERROR_CODE: 2, ERROR_MESSAGE: (.*)/;

const ENGINE_TYPES: Readonly<Record<string, EngineType>> = {
  FLOAT: 'float32',
  FLOAT16: 'float16',
  UINT8: 'uint8',
};

/**
 * Runs the engine over the sealed weights, verified just before (or at most `maxAgeMs` before), and reports what the
 * engine did with them. An abort waits for the engine, which cannot be stopped, and then rejects.
 *
 * Errors: those of VramManager.execute(); INVALID_INPUT (feeds), NOT_FOUND (a released session), WITNESS_FAILED (the
 * engine did not read all sealed weights where they lie, or used them in another way; the session is then unusable),
 * DEVICE_UNAVAILABLE (the engine failed, or the device refused its commands).
 */
export async function run<Tensor extends EngineTensor>(
  session: OnnxSession<Tensor>,
  feeds: Readonly<Record<string, Tensor>>,
  options: RunOptions = {},
): Promise<RunResult<Tensor>> {
  return await runAndTell(session, feeds, options, () => undefined);
}

/** Like run(), and calls `onVerified` after the verification, before the engine begins. */
export async function runAndTell<Tensor extends EngineTensor>(
  session: OnnxSession<Tensor>,
  feeds: Readonly<Record<string, Tensor>>,
  options: RunOptions,
  onVerified: () => void,
): Promise<RunResult<Tensor>> {
  const state = OnnxSession.stateOf(session);
  checkOptions('options', options, RUN_KEYS);
  checkFeeds(session, state, feeds);
  const { manager, shard } = state.sealed;
  return await manager.execute(
    shard,
    async (lease) => {
      if (lease.kind !== 'webgpu') throw invalidInput('session', 'is over a shard that no engine can use');
      return await engineTurns.run(async () => {
        // The session may have been released or have failed while this run waited for its turn.
        OnnxSession.stateOf(session);
        throwIfAborted(options.signal);
        onVerified();
        const { outputs, witness } = await runOnce(state, lease, feeds);
        return { outputs, report: lease.report, witness };
      });
    },
    options,
  );
}

function checkFeeds<Tensor extends EngineTensor>(
  session: OnnxSession<Tensor>,
  { sealed }: SessionState<Tensor>,
  feeds: Readonly<Record<string, Tensor>>,
): void {
  if (typeof feeds !== 'object' || feeds === null)
    throw invalidInput('feeds', 'must be an object of tensors by name');
  for (const [name, feed] of Object.entries(feeds)) {
    if (session.inputNames.includes(name)) {
      if (isTensor(feed)) continue;
      throw invalidInput('feeds', `must have a tensor of the engine for "${name}"`);
    }
    const sealedOne = sealed.moved.some((tensor) => tensor.name === name);
    const inputs = session.inputNames.join(', ');
    throw invalidInput(
      'feeds',
      sealedOne
        ? `names the sealed weight "${name}", which can only come from sealed memory`
        : `has no input to give "${name.slice(0, 64)}" to; inputs: ${inputs}`,
    );
  }
  const missing = session.inputNames.find((name) => !Object.hasOwn(feeds, name));
  if (missing !== undefined) throw invalidInput('feeds', `lacks the input "${missing}"`);
}

function isTensor(value: EngineTensor | null): boolean {
  return (
    typeof value === 'object' && value !== null && typeof value.type === 'string' && Array.isArray(value.dims)
  );
}

async function runOnce<Tensor extends EngineTensor>(
  state: SessionState<Tensor>,
  lease: WebGpuLease,
  feeds: Readonly<Record<string, Tensor>>,
): Promise<{ outputs: Readonly<Record<string, Tensor>>; witness: Witness }> {
  const { view, session, device } = state;
  const { weights, watched } = sealedWeights(state, lease);
  let outputs: Readonly<Record<string, Tensor>>;
  try {
    outputs = await session.run({ ...feeds, ...weights });
  } catch (error) {
    await view.settled();
    judge(state, view.takeLedger(), []);
    throw await engineError(device, error, (why) => engineFailure(why, error));
  }
  await view.settled();
  const ledger = view.takeLedger();
  judge(state, ledger, watched);
  return { outputs, witness: Object.freeze({ ...ledger.counts(), sealedTensors: watched.length }) };
}

/** The error for a feed that the engine refused for its shape or type, or for any other failure of the engine. */
function engineFailure(why: string, cause: unknown): VramError {
  const [, refusal] = INVALID_ARGUMENT.exec(why) ?? [];
  if (refusal !== undefined) return invalidInput('feeds', `was refused by the engine: ${refusal}`, cause);
  return new VramError('DEVICE_UNAVAILABLE', `the engine failed: ${why}`, { cause });
}

/** The buffers of this lease as the engine's tensors, each watched by the witness. */
function sealedWeights<Tensor extends EngineTensor>(
  { sealed, engine, view, weights: known }: SessionState<Tensor>,
  lease: WebGpuLease,
): { weights: Readonly<Record<string, Tensor>>; watched: readonly WatchedTensor[] } {
  const weights: Record<string, Tensor> = Object.create(null);
  const watched: WatchedTensor[] = [];
  for (const { name, byteLength, dtype, shape } of sealed.moved) {
    const buffer = lease.buffer(name);
    watched.push(view.watch(buffer, { name, byteLength }));
    let weight = known.get(name);
    if (weight === undefined || weight.buffer !== buffer) {
      const dataType = ENGINE_TYPES[dtype];
      if (dataType === undefined) throw invalidInput('sealed', `has a weight of type ${dtype}`);
      weight = { buffer, tensor: engine.Tensor.fromGpuBuffer(buffer, { dataType, dims: shape }) };
      known.set(name, weight);
    }
    weights[name] = weight.tensor;
  }
  return { weights, watched };
}

/**
 * Errors: DEVICE_UNAVAILABLE for commands that did not run, WITNESS_FAILED for uses other than plain reads, which ends
 * the session.
 */
function judge<Tensor extends EngineTensor>(
  state: SessionState<Tensor>,
  ledger: Ledger,
  expected: readonly WatchedTensor[],
): void {
  const { offence, refusedSubmits } = ledger;
  const problem =
    offence === null ? unread(ledger, expected, refusedSubmits) : deed(offence.access, offence.tensor.name);
  if (problem !== null) {
    state.failure = new VramError(
      'WITNESS_FAILED',
      `the engine ${problem}; its output is not a result over the sealed weights`,
    );
    throw state.failure;
  }
  if (refusedSubmits > 0) {
    throw new VramError(
      'DEVICE_UNAVAILABLE',
      `the device refused commands of the engine ${refusedSubmits} times: a buffer may have been destroyed; seal again`,
    );
  }
}

/** Unread weights, unless refused commands explain them. */
function unread(ledger: Ledger, expected: readonly WatchedTensor[], refusedSubmits: number): string | null {
  if (refusedSubmits > 0) return null;
  const missing = expected.filter((tensor) => !ledger.isBound(tensor));
  const [first] = missing;
  if (first === undefined) return null;
  return `did not read ${missing.length} of ${expected.length} sealed weights where they lie, "${first.name}" among them`;
}

function deed(access: 'readOnly' | 'readWrite' | 'unknown' | 'copy', tensor: string): string {
  switch (access) {
    case 'copy':
      return `copied the sealed weight "${tensor}", or used it in a way that weights are not used`;
    case 'readWrite':
      return `would have written the sealed weight "${tensor}": it was bound writable`;
    default:
      return `bound the sealed weight "${tensor}" through a layout that it did not declare`;
  }
}

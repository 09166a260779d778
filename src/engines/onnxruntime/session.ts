import {
  checkOneOf,
  checkOptions,
  invalidInput,
  isVramError,
  type OptionKeys,
  Serial,
  VramError,
} from '../../base/index.js';
import { type Device, gpuDeviceOf } from '../../device/index.js';
import type { Engine, EngineSession, EngineTensor, TensorLayout } from './engine.js';
import { checkSealedOnnx, type SealedOnnx } from './seal-onnx.js';
import { EngineView } from './witness/index.js';

/** Options of createSession(). */
export interface SessionOptions {
  /** The device that holds the sealed weights: the one that the manager was opened with. */
  readonly device: Device;
  /** The axis order of the engine's convolutions. `NCHW` avoids rearranging the weights in every run. */
  readonly preferredLayout?: TensorLayout | undefined;
}

const SESSION_KEYS = { device: true, preferredLayout: true } satisfies OptionKeys<SessionOptions>;
const LAYOUTS = ['NCHW', 'NHWC'] as const;
/** Otherwise the engine warns in each session that shape arithmetic runs on the CPU, which is intended. */
const ERRORS_ALONE = 3;
/** Limit of the engine's message in an error, characters. */
const MAX_REASON_LENGTH = 300;

/**
 * Serialises runs and session creation: the engine creates one session at a time, and a witness counts one run at a
 * time.
 */
export const engineTurns = new Serial();

/** One view for each device, because the engine caches compiled code by device object. */
const views = new WeakMap<GPUDevice, EngineView>();

/** The parts of a session that run() needs. */
export interface SessionState<Tensor extends EngineTensor> {
  readonly engine: Engine<Tensor>;
  readonly session: EngineSession<Tensor>;
  readonly sealed: SealedOnnx;
  readonly device: Device;
  readonly view: EngineView;
  /** Sealed weights as engine tensors, by name, with the buffer of each. */
  readonly weights: Map<string, { readonly buffer: GPUBuffer; readonly tensor: Tensor }>;
  /** The reason why no further run is possible. */
  failure: VramError | null;
}

/** A session of an engine whose weights lie in sealed memory. Made by createSession(), used with run(). */
export class OnnxSession<Tensor extends EngineTensor = EngineTensor> {
  /** Inputs that the caller feeds, without the sealed weights. */
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly #state: SessionState<Tensor>;
  #release: Promise<void> | null = null;

  /** Not for callers: see createSession(). */
  constructor(state: SessionState<Tensor>) {
    const weights = new Set(state.sealed.moved.map(({ name }) => name));
    this.inputNames = Object.freeze(state.session.inputNames.filter((name) => !weights.has(name)));
    this.outputNames = Object.freeze([...state.session.outputNames]);
    this.#state = state;
  }

  /**
   * Errors: INVALID_INPUT for an object that createSession() did not make, NOT_FOUND after release, and the error that
   * ended the session.
   */
  static stateOf<Tensor extends EngineTensor>(session: OnnxSession<Tensor>): SessionState<Tensor> {
    if (!(session instanceof OnnxSession))
      throw invalidInput('session', 'must be one that createSession() made');
    const state = session.#state;
    if (state.failure !== null) throw state.failure;
    return state;
  }

  /** Frees the engine's memory once all runs have ended. The sealed weights stay. Safe to call twice. */
  release(): Promise<void> {
    this.#release ??= this.#end();
    return this.#release;
  }

  async #end(): Promise<void> {
    this.#state.failure = new VramError('NOT_FOUND', 'this session was released; create another');
    await engineTurns.run(async () => {
      await this.#state.session.release();
    });
    this.#state.weights.clear();
  }
}

/** A platform's steps before and after the engine makes a session. */
export type Around = <T>(make: () => Promise<T>) => Promise<T>;

/**
 * A session of `onnxruntime-web/webgpu`, given as `ort`, over sealed weights. The engine gets the device through a view with
 * which the witness counts what it does.
 *
 * Errors: INVALID_INPUT (a device that is not the manager's, or no GPU; a model the engine refuses; another build of the
 * engine), DEVICE_LOST.
 */
export async function makeSession<Tensor extends EngineTensor>(
  ort: Engine<Tensor>,
  sealed: SealedOnnx,
  options: SessionOptions,
  around: Around = (make) => make(),
): Promise<OnnxSession<Tensor>> {
  checkOptions('options', options, SESSION_KEYS);
  if (typeof ort?.InferenceSession?.create !== 'function') {
    throw invalidInput('ort', 'must be the module onnxruntime-web/webgpu');
  }
  checkSealedOnnx(sealed);
  const { device, preferredLayout } = options;
  if (preferredLayout !== undefined) checkOneOf('preferredLayout', preferredLayout, LAYOUTS);
  const gpu = checkDevice(device, sealed);
  let view = views.get(gpu);
  if (view === undefined) {
    view = new EngineView(gpu);
    views.set(gpu, view);
  }
  const provider = { name: 'webgpu' as const, device: view.device, preferredLayout };
  const session = await engineTurns.run(async () => {
    try {
      return await around(() =>
        ort.InferenceSession.create(sealed.graph, {
          executionProviders: [provider],
          logSeverityLevel: ERRORS_ALONE,
        }),
      );
    } catch (error) {
      throw await engineError(device, error, (why) =>
        invalidInput('sealed', `was refused by the engine: ${why}`, error),
      );
    }
  });
  if (!view.taken) {
    await session.release();
    throw invalidInput(
      'ort',
      'did not take the device: import onnxruntime-web/webgpu, not the package itself',
    );
  }
  return new OnnxSession({ engine: ort, session, sealed, device, view, weights: new Map(), failure: null });
}

function checkDevice(device: Device, { manager, moved }: SealedOnnx): GPUDevice {
  if (typeof device !== 'object' || device === null) throw invalidInput('device', 'must be an open Device');
  const gpu = gpuDeviceOf(device);
  if (gpu === null) throw invalidInput('device', `is ${device.info.backend}: an engine needs a GPU device`);
  if (device.info !== manager.device) {
    throw invalidInput(
      'device',
      'is not the one that holds the sealed weights: give the manager the same device',
    );
  }
  const half = moved.find(({ dtype }) => dtype === 'FLOAT16');
  if (half !== undefined && !gpu.features.has('shader-f16')) {
    throw invalidInput('device', `lacks shader-f16, and "${half.name}" is of type FLOAT16`);
  }
  return gpu;
}

/** Converts an error of the engine: DEVICE_LOST if its device is, else as `otherwise` says. */
export async function engineError(
  device: Device,
  error: unknown,
  otherwise: (why: string) => VramError,
): Promise<VramError> {
  if (isVramError(error)) return error;
  const lost = await Promise.race([device.lost, Promise.resolve(null)]);
  if (lost !== null)
    return new VramError('DEVICE_LOST', `the device was lost: ${lost.message}`, { cause: error });
  const message = error instanceof Error ? error.message : String(error);
  return otherwise(message.replace(/\s+/g, ' ').trim().slice(0, MAX_REASON_LENGTH));
}

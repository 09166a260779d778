import type { TensorData, TensorOutputData } from '../../api-schema/index.js';
import { invalidInput, type VerificationReport, VramError } from '../../base/index.js';
import type { Device } from '../../device/index.js';
import {
  makeSession,
  type OnnxSession,
  type RunOptions,
  runAndTell,
  type SealedOnnx,
  sealOnnx,
  type Witness,
} from '../../engines/index.js';
import type { SealOptions, VramManager } from '../../manager/index.js';
import type { TensorModel } from '../../models/index.js';
import { withGpuGlobals } from '../../node/index.js';
import { bytesOf, decodeTensor, isTensorType, tensorOutputs } from './tensor-data.js';

type Ort = typeof import('onnxruntime-web/webgpu');
type OrtTensor = InstanceType<Ort['Tensor']>;

/** A model whose weights are sealed, and the engine's session over them. */
export interface OnnxModel {
  readonly sealed: SealedOnnx;
  readonly session: OnnxSession<OrtTensor>;
}

export interface OnnxRun {
  readonly inputs: Readonly<Record<string, TensorData>>;
  readonly options: RunOptions;
  /** Called once the weights were verified, before the engine begins. */
  readonly onVerified: () => void;
  readonly onOutput: (part: TensorOutputData) => void;
}

/** The engine, on the device that the manager holds its shards on. */
export class OnnxHost {
  readonly #ort: Ort;
  readonly #device: Device;

  private constructor(ort: Ort, device: Device) {
    this.#ort = ort;
    this.#device = device;
  }

  /** Errors: INVALID_INPUT where the package is not installed. */
  static async open(device: Device): Promise<OnnxHost> {
    let ort: Ort;
    try {
      ort = await import('onnxruntime-web/webgpu');
    } catch (cause) {
      throw invalidInput('onnx', 'needs the package onnxruntime-web: npm install onnxruntime-web', cause);
    }
    ort.env.logLevel = 'error';
    // The GPU computes; engine threads would only compete for the CPUs.
    ort.env.wasm.numThreads = 1;
    return new OnnxHost(ort, device);
  }

  /** Errors: those of sealOnnx() and createSession(); if the engine refuses the model, nothing stays sealed. */
  async seal(manager: VramManager, model: TensorModel, options: SealOptions): Promise<OnnxModel> {
    const sealed = await sealOnnx(manager, model, options);
    try {
      const settings = { device: this.#device, preferredLayout: 'NCHW' } as const;
      return { sealed, session: await makeSession(this.#ort, sealed, settings, withGpuGlobals) };
    } catch (error) {
      await manager.release(sealed.shard);
      await sealed.source.close();
      throw error;
    }
  }

  /** Checks inputs as far as possible without the engine. Errors: INVALID_INPUT. */
  check({ session }: OnnxModel, inputs: Readonly<Record<string, TensorData>>): void {
    for (const [name, tensor] of Object.entries(inputs)) {
      if (!session.inputNames.includes(name)) {
        throw invalidInput(
          'inputs',
          `is not an input of the model, whose inputs are ${session.inputNames.join(', ')}`,
        );
      }
      decodeTensor(name, tensor);
    }
    const missing = session.inputNames.find((name) => !Object.hasOwn(inputs, name));
    if (missing !== undefined) throw invalidInput('inputs', `lacks ${JSON.stringify(missing)}`);
  }

  /** Errors: those of run() of vram-residency/onnxruntime. */
  async run(
    { session }: OnnxModel,
    { inputs, options, onVerified, onOutput }: OnnxRun,
  ): Promise<{ readonly report: VerificationReport | null; readonly witness: Witness }> {
    const feeds = Object.fromEntries(
      Object.entries(inputs).map(([name, tensor]) => [name, this.#feed(name, tensor)]),
    );
    const { outputs, report, witness } = await runAndTell(session, feeds, options, onVerified);
    for (const [name, tensor] of Object.entries(outputs)) {
      for (const part of partsOf(name, tensor)) onOutput(part);
    }
    return { report, witness };
  }

  #feed(name: string, tensor: TensorData): OrtTensor {
    const { type, dims, data } = decodeTensor(name, tensor);
    // The constructor has an overload for each element type, but none for their union.
    const Tensor: new (type: string, data: unknown, dims: readonly number[]) => OrtTensor = this.#ort.Tensor;
    return new Tensor(type, data, dims);
  }
}

/** Errors: DEVICE_UNAVAILABLE for an output that JSON cannot carry. */
function partsOf(name: string, { type, dims, data }: OrtTensor): Iterable<TensorOutputData> {
  if (!isTensorType(type) || !ArrayBuffer.isView(data)) {
    throw new VramError(
      'DEVICE_UNAVAILABLE',
      `the model's output ${JSON.stringify(name)} is of type ${type}, which is not supported`,
    );
  }
  return tensorOutputs(name, type, dims, bytesOf(data));
}

/** The part of onnxruntime-web that this room uses, as structural types: the caller imports the package. */

/** An `ort.Tensor`. */
export interface EngineTensor {
  readonly type: string;
  readonly dims: readonly number[];
}

/** The element types of movable weights, in the engine's names. */
export type EngineType = 'float32' | 'float16' | 'uint8';

/** The order of axes of an image: channels first or last. */
export type TensorLayout = 'NCHW' | 'NHWC';

/** The execution provider that a session is made with. */
export interface EngineProvider {
  readonly name: 'webgpu';
  readonly device: GPUDevice;
  readonly preferredLayout?: TensorLayout | undefined;
}

/** An `ort.InferenceSession`. */
export interface EngineSession<Tensor> {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>>;
  release(): Promise<void>;
}

/** The module `onnxruntime-web/webgpu`; the package's other builds do not take a device. */
export interface Engine<Tensor extends EngineTensor> {
  readonly InferenceSession: {
    create(
      model: Uint8Array,
      options: { readonly executionProviders: readonly EngineProvider[]; readonly logSeverityLevel: 3 },
    ): Promise<EngineSession<Tensor>>;
  };
  readonly Tensor: {
    fromGpuBuffer(
      buffer: GPUBuffer,
      options: { readonly dataType: EngineType; readonly dims: readonly number[] },
    ): Tensor;
  };
}

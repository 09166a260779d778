/** One place where a node reads a tensor. */
export interface Use {
  /** Operator with its domain, unless that is ONNX's own: `MatMul`, `com.microsoft.MatMulNBits`. */
  readonly operator: string;
  /** Index of the node's input. */
  readonly input: number;
}

/**
 * Inputs that ONNX Runtime Web 1.30 binds as storage buffers in its WebGPU kernels, by operator; a test runs each. Others
 * may be read on the CPU (shapes, axes, scales of a Resize), may be handed on as a copy (Reshape), or have no WebGPU kernel.
 */
const GPU_OPERANDS: ReadonlyMap<string, readonly number[]> = new Map([
  ['Add', [0, 1]],
  ['BatchNormalization', [1, 2, 3, 4]],
  ['Conv', [1, 2]],
  ['ConvTranspose', [1, 2]],
  ['Div', [0, 1]],
  ['Gather', [0]],
  ['Gemm', [0, 1, 2]],
  ['InstanceNormalization', [1, 2]],
  ['LayerNormalization', [1, 2]],
  ['MatMul', [0, 1]],
  ['Mul', [0, 1]],
  ['Sub', [0, 1]],
  ['SimplifiedLayerNormalization', [1]],
  ['com.microsoft.FusedConv', [1, 2]],
  ['com.microsoft.MatMulNBits', [1, 2, 3]],
  ['com.microsoft.RotaryEmbedding', [2, 3]],
  ['com.microsoft.SkipLayerNormalization', [2, 3, 4]],
  ['com.microsoft.SkipSimplifiedLayerNormalization', [2, 3]],
]);

/** Whether the engine reads that input of that operator from GPU memory. */
export function readsOnGpu({ operator, input }: Use): boolean {
  return GPU_OPERANDS.get(operator)?.includes(input) === true;
}

/** All of them, for the test that runs each. */
export function gpuOperands(): readonly Use[] {
  return [...GPU_OPERANDS].flatMap(([operator, inputs]) => inputs.map((input) => ({ operator, input })));
}

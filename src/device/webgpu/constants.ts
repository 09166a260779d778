/**
 * Flag values of the WebGPU standard (sections 5.1 "GPUBufferUsage", 5.2.2 "GPUMapMode" and 8.1 "GPUShaderStage"). Node has
 * none of these globals, and a library does not add any.
 */
export const BufferUsage = {
  MAP_READ: 0x0001,
  MAP_WRITE: 0x0002,
  COPY_SRC: 0x0004,
  COPY_DST: 0x0008,
  UNIFORM: 0x0040,
  STORAGE: 0x0080,
} as const;

export const MapMode = { READ: 0x0001, WRITE: 0x0002 } as const;

export const ShaderStage = { COMPUTE: 0x4 } as const;

/** Invocations of one workgroup, in every shader. */
export const WORKGROUP_SIZE = 64;

/** Bytes between the parameter sets of two dispatches: the largest uniform offset alignment that the standard allows. */
export const PARAMS_STRIDE = 256;

/** A vec4<u32>: what one shader load or store moves. */
export const VECTOR_BYTES = 16;

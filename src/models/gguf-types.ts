/** A tensor type of GGUF: `blockElements` consecutive elements of the first dimension take `blockBytes` bytes. */
export interface GgufType {
  readonly name: string;
  readonly blockElements: number;
  readonly blockBytes: number;
}

const plain = (name: string, bytes: number): GgufType => ({ name, blockElements: 1, blockBytes: bytes });
const block = (name: string, blockElements: number, blockBytes: number): GgufType => ({
  name,
  blockElements,
  blockBytes,
});

/** By type number; numbers that ggml has withdrawn are omitted. */
export const GGUF_TYPES: ReadonlyMap<number, GgufType> = new Map([
  [0, plain('F32', 4)],
  [1, plain('F16', 2)],
  [2, block('Q4_0', 32, 18)],
  [3, block('Q4_1', 32, 20)],
  [6, block('Q5_0', 32, 22)],
  [7, block('Q5_1', 32, 24)],
  [8, block('Q8_0', 32, 34)],
  [9, block('Q8_1', 32, 36)],
  [10, block('Q2_K', 256, 84)],
  [11, block('Q3_K', 256, 110)],
  [12, block('Q4_K', 256, 144)],
  [13, block('Q5_K', 256, 176)],
  [14, block('Q6_K', 256, 210)],
  [15, block('Q8_K', 256, 292)],
  [16, block('IQ2_XXS', 256, 66)],
  [17, block('IQ2_XS', 256, 74)],
  [18, block('IQ3_XXS', 256, 98)],
  [19, block('IQ1_S', 256, 50)],
  [20, block('IQ4_NL', 32, 18)],
  [21, block('IQ3_S', 256, 110)],
  [22, block('IQ2_S', 256, 82)],
  [23, block('IQ4_XS', 256, 136)],
  [24, plain('I8', 1)],
  [25, plain('I16', 2)],
  [26, plain('I32', 4)],
  [27, plain('I64', 8)],
  [28, plain('F64', 8)],
  [29, block('IQ1_M', 256, 56)],
  [30, plain('BF16', 2)],
  [34, block('TQ1_0', 256, 54)],
  [35, block('TQ2_0', 256, 66)],
  [39, block('MXFP4', 32, 17)],
  [40, block('NVFP4', 64, 36)],
  [41, block('Q1_0', 128, 18)],
  [42, block('Q2_0', 64, 18)],
]);

export const GGUF_STRING = 8;
export const GGUF_ARRAY = 9;
export const GGUF_UINT32 = 4;
export const GGUF_BOOL = 7;

/** Bytes of a metadata value, by the number of its type; strings and arrays have no fixed size. */
export const GGUF_VALUE_BYTES: ReadonlyMap<number, number> = new Map([
  [0, 1],
  [1, 1],
  [2, 2],
  [3, 2],
  [GGUF_UINT32, 4],
  [5, 4],
  [6, 4],
  [GGUF_BOOL, 1],
  [10, 8],
  [11, 8],
  [12, 8],
]);

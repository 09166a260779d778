import { toHex, utf8 } from '../../base/index.js';

/**
 * PTX text, which the driver compiles for the GPU, or the bytes of a CUDA fat binary, which hold machine code for some
 * GPUs.
 */
export type KernelImage = string | Uint8Array;

/** The kernels of cuda/vram.cu in a form that the driver loads. */
export interface Kernels {
  readonly image: KernelImage;
  /** The option or variable that named them; null for the shipped ones. */
  readonly origin: string | null;
  /** Kernels other than the shipped ones. */
  readonly replaced: boolean;
}

/** Suffix of the name of a device with replaced kernels, also in handles and statements. */
export const REPLACED_KERNELS_MARK = ' [replaced kernels]';

/** Form and SHA-256 of the bytes, in one line for reports: `PTX sha256:<64 hex>`. */
export async function kernelsInWords({ image }: Kernels): Promise<string> {
  const bytes = typeof image === 'string' ? utf8(image) : Uint8Array.from(image);
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return `${typeof image === 'string' ? 'PTX' : 'fat binary'} sha256:${toHex(hash)}`;
}

// The line reader: PP-OCRv4's recogniser in ONNX Runtime Web, over the sealed weights. Loaded when somebody wants to read.

import * as ort from 'onnxruntime-web/webgpu';
import type { Device } from 'vram-residency/browser';
import { createSession, type OnnxSession, run, type SealedOnnx } from 'vram-residency/onnxruntime';
import { decode, readCharacters, toInput } from '../../ocr/recognise.mjs';
import type { InkPicture, Reading } from '../protocol.js';

/** A verification this old still counts when somebody reads without verifying: any of this visit. */
const ANY_AGE_MS = 86_400_000;
/** Beside the page's scripts. */
const WASM = 'ort-wasm-simd-threaded.asyncify.wasm';

export class LineReader {
  readonly #session: OnnxSession<ort.Tensor>;
  readonly #characters: readonly string[];

  private constructor(session: OnnxSession<ort.Tensor>, characters: readonly string[]) {
    this.#session = session;
    this.#characters = characters;
  }

  /** Blocks this thread for seconds while the engine compiles its kernels. */
  static async open(sealed: SealedOnnx, device: Device, characters: string): Promise<LineReader> {
    ort.env.logLevel = 'error';
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = { wasm: new URL(WASM, import.meta.url).href };
    // Convolutions in this order of axes leave the weights as they are.
    const session = await createSession(ort, sealed, { device, preferredLayout: 'NCHW' });
    return new LineReader(session, readCharacters(characters));
  }

  /** Errors: those of run() in vram-residency/onnxruntime. */
  async read(picture: InkPicture, verifyFirst: boolean): Promise<Reading> {
    const [input] = this.#session.inputNames;
    if (input === undefined) throw new Error('the model has no input');
    const { data, shape } = toInput(picture);
    const feeds = { [input]: new ort.Tensor('float32', data, shape) };
    const began = performance.now();
    const { outputs, report, witness } = await run(
      this.#session,
      feeds,
      verifyFirst ? {} : { maxAgeMs: ANY_AGE_MS },
    );
    const ms = performance.now() - began;
    const [output] = Object.values(outputs);
    const scores = output?.data;
    if (output === undefined || !(scores instanceof Float32Array))
      throw new Error('the model gave no scores');
    const { text, confidence } = decode(scores, output.dims, this.#characters);
    // Paper beside the line reads as a space.
    return {
      text: text?.trim() ?? null,
      confidence,
      ms,
      verifiedMs: report?.durationMs ?? null,
      tensors: witness.tensors,
    };
  }

  async close(): Promise<void> {
    await this.#session.release();
  }
}

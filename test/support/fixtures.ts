import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const script = join(root, 'scripts/make-fixtures.mjs');

/** Models that the fixtures are made of. */
export const FIXTURE_MODELS = ['silero', 'ocr_det', 'ocr_rec'] as const;

/** Formats that each model comes in, and the file to open for each. */
export const FIXTURE_FILES = {
  onnx: 'onnx/model.onnx',
  external: 'external/model.onnx',
  single: 'single/model.safetensors',
  sharded: 'sharded/model.safetensors.index.json',
  gguf: 'v3/model.gguf',
  gguf2: 'v2/model.gguf',
} as const;

/**
 * The folder of the real weights in every format, `<model>/<format>/...`; made once for each version of the script that
 * makes them. Several processes may ask at once: each makes its own and the first to finish is kept.
 */
export function fixtures(): string {
  const version = createHash('sha256').update(readFileSync(script)).digest('hex').slice(0, 12);
  const cache = join(root, '.cache', 'fixtures');
  const folder = join(cache, version);
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  const own = mkdtempSync(join(cache, 'making-'));
  try {
    execFileSync(process.execPath, [script, own], { stdio: ['ignore', 'ignore', 'inherit'] });
    renameSync(own, folder);
  } catch (error) {
    rmSync(own, { recursive: true, force: true });
    // Renaming over a folder that another process has put there meanwhile fails; that one serves as well.
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

/** Bytes at a file's start that suffice to identify it. */
export const START_BYTES = 512;

const UNFINISHED = /(\.(incomplete|part|partial|crdownload)|\.(safetensors|gguf|onnx)\.tmp)$/i;
/** One piece of a file that was cut: `m.gguf.part2of2`, `m.safetensors.part01`. Its bytes alone may look like anything. */
const PIECE = /\.(safetensors|gguf|onnx)\.part[-_.]?\d+(of\d+)?$/i;
const CHECKPOINT = 'a PyTorch checkpoint in pickle form: convert it to safetensors';
const PICKLE = 'a Python pickle: convert it to safetensors';
const GGML = 'a GGML file from before GGUF: convert it to GGUF';

/** Pages that servers send in place of a file. */
const PAGES: readonly (readonly [RegExp, string])[] = [
  [/^\s*<(!doctype html|html|head|body)\b/i, 'an HTML page, such as a server sends in place of a file'],
  [/^\s*<(\?xml|Error>)/, 'an XML document, such as a server sends in place of a file'],
];

/** What a file is that starts with this text. */
const TEXTS: readonly (readonly [RegExp, string])[] = [
  [
    /^version https:\/\/git-lfs\.github\.com\/spec\//,
    'a Git LFS pointer, not the file that it stands for: "git lfs pull" fetches that',
  ],
  [
    /^[./]*(git\/)?annex\/objects\//,
    'a pointer of git-annex, not the file that it stands for: "git annex get" fetches that',
  ],
  ...PAGES,
  [/^(lmgg|tjgg|fmgg)/, GGML],
];

/** What a file is that starts with these bytes: protocols 2 to 5 of pickle, and the number that torch.save() wrote first. */
const BYTES: readonly (readonly [readonly number[], string])[] = [
  [[0x50, 0x4b, 0x03, 0x04], 'a ZIP archive, as PyTorch saves checkpoints: convert it to safetensors'],
  [[0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19], CHECKPOINT],
  [[0x80, 0x02, 0x7d, 0x71], PICKLE],
  [[0x80, 0x02, 0x63, 0x63], PICKLE],
  [[0x80, 0x02, 0x5d, 0x71], PICKLE],
  [[0x80, 0x03, 0x7d, 0x71], PICKLE],
  [[0x80, 0x03, 0x5d, 0x71], PICKLE],
  [[0x80, 0x04, 0x95], PICKLE],
  [[0x80, 0x05, 0x95], PICKLE],
];

/**
 * The kind of a file that is given as weights but is something else, whatever its name; null if nothing indicates that.
 * `start` is its first START_BYTES.
 */
export function seemsToBe(name: string, start: Uint8Array): string | null {
  if (UNFINISHED.test(name)) return 'a download that did not finish';
  if (PIECE.test(name)) return 'one piece of a split file: join the pieces';
  // A safetensors file starts with the length of its header, whose bytes may match any signature.
  if (start[8] === 0x7b && start.subarray(4, 8).every((byte) => byte === 0)) return null;
  const text = latin1(start);
  const byText = TEXTS.find(([pattern]) => pattern.test(text));
  return (byText ?? BYTES.find(([bytes]) => bytes.every((byte, i) => start[i] === byte)))?.[1] ?? null;
}

/** The page of a server that a file is, by its first START_BYTES; else null. */
export function pageOfServer(start: Uint8Array): string | null {
  const text = latin1(start);
  return PAGES.find(([pattern]) => pattern.test(text))?.[1] ?? null;
}

/** Whether it begins like a JSON document and continues as text. */
export function seemsToBeJson(start: Uint8Array): boolean {
  return /^\s*[[{]/.test(latin1(start)) && start.every(isTextByte);
}

function isTextByte(byte: number): boolean {
  return byte >= 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, START_BYTES));
}

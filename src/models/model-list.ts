import { invalidInput, type VramError } from '../base/index.js';
import { FSVERITY_PREFIX } from '../digest/index.js';
import { JsonScanner } from './json-scanner.js';
import { quoted } from './refusal.js';
import { MANIFEST_LIMITS } from './tensor-manifest.js';
import { TENSOR_LIMITS } from './tensors.js';

/** The expected digests of a model's packed tensors. */
export interface PackedDigest {
  readonly byteLength: number;
  /** `fsverity-sha256-12:<64 hex>`. */
  readonly fsverity: string;
  /** 64 hex digits: of the manifest's canonical JSON. */
  readonly manifestSha256: string;
}

/** The digests of files and packed tensors in a model list. docs/formats.md, "Tensor manifest". */
export interface ModelList {
  /** The fs-verity digest of each file, by its name. */
  readonly files: ReadonlyMap<string, { readonly fsverity: string; readonly byteLength: number }>;
  readonly packed: PackedDigest | null;
}

const FSVERITY = /^fsverity-sha256-12:[0-9a-f]{64}$/;
const SHA256 = /^[0-9a-f]{64}$/;
const MAX_SKIPPED_DEPTH = 16;

/**
 * Reads the output of `vram-residency digest --tensors --json`. The digests of single tensors are skipped: those of the
 * files and of the packed sequence decide. Unknown keys are ignored. Errors: INVALID_INPUT, naming `what`.
 */
export function parseModelList(bytes: Uint8Array, what: string): ModelList {
  const refuse = (problem: string): VramError => invalidInput(what, `as a model list ${problem}`);
  const scanner = new JsonScanner(bytes, refuse);
  const seen = new Set<string>();
  const files = new Map<string, { fsverity: string; byteLength: number }>();
  let packed: PackedDigest | null = null;
  eachKey(scanner, seen, refuse, (key) => {
    if (key === 'v') {
      if (scanner.integer() !== 1) throw refuse('has another version than 1');
    } else if (key === 'files') {
      scanner.array(() => {
        const { name, ...file } = readFile(scanner, refuse);
        if (files.has(name)) throw refuse(`names the file ${quoted(name)} twice`);
        if (files.size >= MANIFEST_LIMITS.files) throw refuse(`has more than ${MANIFEST_LIMITS.files} files`);
        files.set(name, file);
      });
    } else if (key === 'packed') {
      packed = scanner.nextIs('n') ? skipNull(scanner) : readPacked(scanner, refuse);
    } else {
      scanner.skipValue(MAX_SKIPPED_DEPTH);
    }
  });
  scanner.end('whitespace');
  for (const key of ['v', 'files', 'packed', 'tensors']) if (!seen.has(key)) throw refuse(`has no "${key}"`);
  if (files.size === 0) throw refuse('lists no file');
  return { files, packed };
}

type Refuse = (problem: string) => VramError;

function readFile(
  scanner: JsonScanner,
  refuse: Refuse,
): { name: string; fsverity: string; byteLength: number } {
  const { texts, byteLength } = readRecord(scanner, refuse);
  const name = texts.get('name') ?? '';
  if (name === '') throw refuse('has a file without a name');
  return { name, byteLength, fsverity: matching(texts.get('fsverity'), FSVERITY, 'fsverity', refuse) };
}

function readPacked(scanner: JsonScanner, refuse: Refuse): PackedDigest {
  const { texts, byteLength } = readRecord(scanner, refuse);
  return {
    byteLength,
    fsverity: matching(texts.get('fsverity'), FSVERITY, 'fsverity', refuse),
    manifestSha256: matching(texts.get('manifestSha256'), SHA256, 'manifestSha256', refuse),
  };
}

/** An object of texts and `byteLength`. */
function readRecord(
  scanner: JsonScanner,
  refuse: Refuse,
): { texts: Map<string, string>; byteLength: number } {
  const texts = new Map<string, string>();
  let byteLength: number | null = null;
  eachKey(scanner, new Set(), refuse, (key) => {
    if (key === 'byteLength') byteLength = scanner.integer();
    else if (scanner.nextIs('"')) texts.set(key, scanner.string(TENSOR_LIMITS.nameBytes));
    else scanner.skipValue(MAX_SKIPPED_DEPTH);
  });
  if (byteLength === null) throw refuse('has an entry without "byteLength"');
  return { texts, byteLength };
}

function eachKey(
  scanner: JsonScanner,
  seen: Set<string>,
  refuse: Refuse,
  member: (key: string) => void,
): void {
  scanner.object(TENSOR_LIMITS.nameBytes, (key) => {
    if (seen.has(key)) throw refuse(`has ${quoted(key)} twice`);
    seen.add(key);
    member(key);
  });
}

function skipNull(scanner: JsonScanner): null {
  scanner.skipValue(0);
  return null;
}

function matching(text: string | undefined, form: RegExp, key: string, refuse: Refuse): string {
  if (text !== undefined && form.test(text)) return text;
  const digits = form === FSVERITY ? `${FSVERITY_PREFIX}HEX` : '64 hex digits';
  throw refuse(`has an entry whose "${key}" is not ${digits}`);
}

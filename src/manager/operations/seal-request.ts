import {
  checkId,
  checkInteger,
  checkLabel,
  checkOneOf,
  invalidInput,
  type OptionKeys,
  toHex,
  VramError,
} from '../../base/index.js';
import { checkDigest, FSVERITY_PREFIX } from '../../digest/index.js';
import { checkSource, type Source } from '../../source/index.js';
import {
  type Core,
  OPERATION_KEYS,
  type OperationOptions,
  type ReopenSource,
  type ShardName,
} from '../state/index.js';
import { checkPacked, type PackedRequest } from './packed-request.js';

const MAX_TOTAL_SHARDS = 1024;
const SHARD_ID_BYTES = 16;

export interface SealOptions extends OperationOptions {
  /** 1 to 256 of [A-Za-z0-9_-], unique among live shards; made from 16 random bytes if absent. */
  readonly shardId?: string | undefined;
  /** `sha256:HEX` or `fsverity-sha256-12:HEX`, or several: the expected digests of the source. */
  readonly expected?: string | readonly string[] | undefined;
  /** For a tensor source: the expected digests of its published files, in their order; null accepts any content. */
  readonly expectedFiles?: readonly (string | null)[] | undefined;
  /** Default both; `['fsverity']` omits the serial flat hash. */
  readonly digests?: readonly ('sha256' | 'fsverity')[] | undefined;
  /**
   * Who hashes the source. `host` (the default) hashes what it reads and compares the device's tree with that. `device`: the
   * host only reads and copies, and the device's tree must give `expected`, which must hold the fsverity digest of the very
   * sequence that is sealed; `sha256` is then null.
   */
  readonly hashing?: 'host' | 'device' | undefined;
  /** At most 1024 bytes: the model that this shard belongs to. */
  readonly modelRef?: string | undefined;
  /** Of a tensor-parallel set, together with modelRef and totalShards (at most 1024); from 0. */
  readonly shardIndex?: number | undefined;
  readonly totalShards?: number | undefined;
  /**
   * Seal into memory that other processes can map (CUDA alone), for a share server. They choose their own rights, so the
   * seal's immutability is `api-only`. Default false.
   */
  readonly share?: boolean | undefined;
  /** Opens the source again, for a scrubber that heals; closed after use. */
  readonly reopen?: ReopenSource | undefined;
}

// Does not compile unless it lists exactly the options of the interface.
export const SEAL_KEYS = {
  ...OPERATION_KEYS,
  shardId: true,
  expected: true,
  expectedFiles: true,
  digests: true,
  hashing: true,
  modelRef: true,
  shardIndex: true,
  totalShards: true,
  share: true,
  reopen: true,
} satisfies OptionKeys<SealOptions>;

type Hashing = NonNullable<SealOptions['hashing']>;

/** Expected digests of the source; 64 hex digits, null where the caller gave none. */
export interface RequiredDigests {
  readonly sha256: string | null;
  readonly fsverity: string | null;
}

export interface SealRequest extends ShardName {
  readonly byteLength: number;
  readonly hashing: Hashing;
  readonly share: boolean;
  readonly sha256: boolean;
  readonly required: RequiredDigests;
  /** Set for a tensor source; null for a plain one. */
  readonly packed: PackedRequest | null;
}

/** Checks everything about a seal before anything is allocated. Errors: INVALID_INPUT naming the argument. */
export function checkSealRequest(core: Core, source: Source, options: SealOptions): SealRequest {
  checkSource(source);
  if (options.reopen !== undefined && typeof options.reopen !== 'function') {
    throw invalidInput('reopen', 'must be a function that opens the source again');
  }
  const { share = false } = options;
  if (typeof share !== 'boolean') throw invalidInput('share', 'must be true or false');
  const byteLength = checkInteger('source.byteLength', source.byteLength, 0);
  if (byteLength === 0) throw invalidInput('source', 'is empty: there is nothing to seal');
  if (byteLength > core.maxShardBytes) {
    throw invalidInput('source', `has ${byteLength} bytes, more than maxShardBytes (${core.maxShardBytes})`);
  }
  const hashing = checkOneOf<Hashing>('hashing', options.hashing ?? 'host', ['host', 'device']);
  const packed = checkPacked(core, source, options.expectedFiles);
  const digests = hashing === 'host' ? hostDigests(options, packed) : deviceDigests(options, packed);
  return {
    shardId:
      options.shardId === undefined
        ? toHex(core.crypto.randomBytes(SHARD_ID_BYTES))
        : checkId('shardId', options.shardId),
    ...checkPlace(options),
    byteLength,
    hashing,
    share,
    ...digests,
    packed,
  };
}

type Digests = Pick<SealRequest, 'sha256' | 'required'>;

function hostDigests(options: SealOptions, packed: PackedRequest | null): Digests {
  const digests = options.digests ?? ['sha256', 'fsverity'];
  if (
    !Array.isArray(digests) ||
    !digests.includes('fsverity') ||
    digests.some((name) => !isDigestName(name))
  ) {
    throw invalidInput(
      'digests',
      'must be ["fsverity"] or ["sha256", "fsverity"]: fsverity is what is verified in place',
    );
  }
  const sha256 = digests.includes('sha256');
  const required = checkExpected(options.expected);
  if (required.sha256 !== null && !sha256) {
    throw invalidInput('expected', 'has a sha256 that "digests" leaves out: add "sha256" there');
  }
  if (!sha256 && packed?.expectedFiles?.some((file) => file?.algorithm === 'sha256') === true) {
    throw invalidInput('expectedFiles', 'has a sha256 that "digests" leaves out: add "sha256" there');
  }
  return { sha256, required };
}

/** The device computes one digest, that of the resident sequence; every other digest would be unproved. */
function deviceDigests({ digests, expected }: SealOptions, packed: PackedRequest | null): Digests {
  if (
    digests !== undefined &&
    !(Array.isArray(digests) && digests.length === 1 && digests[0] === 'fsverity')
  ) {
    throw invalidInput('digests', 'must be ["fsverity"], or left out, with hashing "device"');
  }
  if (packed !== null && packed.expectedFiles !== null) {
    throw invalidInput(
      'expectedFiles',
      'needs hashing "host": the device sees the packed tensors, not the files',
    );
  }
  const required = checkExpected(expected);
  if (required.sha256 !== null) {
    throw invalidInput(
      'expected',
      'has a sha256, which hashing "device" cannot check: give the fsverity digest alone',
    );
  }
  if (required.fsverity === null) {
    const of = packed === null ? 'the source' : 'the packed tensors';
    throw invalidInput('expected', `must hold the fsverity-sha256-12 digest of ${of} with hashing "device"`);
  }
  return { sha256: false, required };
}

function isDigestName(name: unknown): boolean {
  return name === 'sha256' || name === 'fsverity';
}

function checkExpected(expected: SealOptions['expected']): RequiredDigests {
  const all = expected === undefined ? [] : Array.isArray(expected) ? expected : [expected];
  const found: { sha256: string | null; fsverity: string | null } = { sha256: null, fsverity: null };
  for (const text of all) {
    const { algorithm, hex } = checkDigest('expected', text);
    if (found[algorithm] !== null && found[algorithm] !== hex) {
      throw invalidInput('expected', `names two different ${algorithm} digests`);
    }
    found[algorithm] = hex;
  }
  return found;
}

/** A shard's place in a tensor-parallel set: all three fields, only the model, or none. */
function checkPlace({ modelRef, shardIndex, totalShards }: SealOptions): Omit<ShardName, 'shardId'> {
  const model = modelRef === undefined ? null : checkLabel('modelRef', modelRef);
  if (shardIndex === undefined && totalShards === undefined) {
    return { modelRef: model, shardIndex: null, totalShards: null };
  }
  if (model === null) throw invalidInput('modelRef', 'is needed with shardIndex and totalShards');
  const total = checkInteger('totalShards', totalShards, 1, MAX_TOTAL_SHARDS);
  return {
    modelRef: model,
    shardIndex: checkInteger('shardIndex', shardIndex, 0, total - 1),
    totalShards: total,
  };
}

/** CI-009. Errors: SOURCE_MISMATCH with both digests. */
export function requireDigests(
  required: RequiredDigests,
  found: { readonly sha256: string | null; readonly fsverity: string },
): void {
  const compare = (name: string, expected: string | null, actual: string | null): void => {
    if (expected === null || expected === actual) return;
    throw new VramError(
      'SOURCE_MISMATCH',
      `the source has ${name} ${actual}, expected ${expected}; nothing was sealed`,
    );
  };
  compare('sha256', required.sha256, found.sha256);
  compare(
    'fsverity',
    required.fsverity === null ? null : FSVERITY_PREFIX + required.fsverity,
    found.fsverity,
  );
}

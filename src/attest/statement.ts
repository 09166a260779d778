import { canonicalBytes, toHex } from '../base/index.js';
import type { DeviceInfo } from '../device/index.js';
import type { Policy } from '../policy/index.js';
import type { SealedFile, SealLayout, SealPayload } from '../seal/index.js';

/** in-toto Statement v1. */
export const STATEMENT_VERSION = 'https://in-toto.io/Statement/v1';
/** Types of the predicate, by the version of the seal that it describes; see docs/attestation.md. */
export const PREDICATE_TYPES = {
  1: 'urn:vram-residency:residency:v1',
  2: 'urn:vram-residency:residency:v2',
} as const;
/** Part of every statement, because readers tend to forget it. */
export const SIGNED_BY =
  'the software of the host that this statement describes: it proves what that software found, not that the host is honest';

/** The head of the audit log; everything in the log up to there can be checked against this later. */
export interface AuditLogHead {
  /** Origin line of the log's checkpoints. */
  readonly origin: string;
  /** Number of records. */
  readonly size: number;
  /** RFC 6962 root over them, 32 bytes. */
  readonly root: Uint8Array;
  /** The signed checkpoint of exactly this head, or null where none are signed. */
  readonly checkpoint: string | null;
}

/** Returns the head of a log that holds every event so far. */
export type AuditHeadProvider = () => Promise<AuditLogHead>;

export interface AttestedDevice {
  readonly backend: DeviceInfo['backend'];
  readonly index: number;
  readonly name: string;
  readonly uuid: string | null;
  readonly driver: string | null;
  readonly execution: DeviceInfo['execution'];
  readonly ecc: DeviceInfo['ecc'];
}

/** Fields of both versions. */
interface ResidencyFacts {
  /** Chosen by the verifier: 16 to 64 bytes, hex. */
  readonly nonce: string;
  /** RFC 3339, UTC, milliseconds: when the verification began. */
  readonly verifiedAt: string;
  /** When the verification ended and this was signed. */
  readonly attestedAt: string;
  readonly verification: 'resident';
  readonly sealId: string;
  readonly shardId: string;
  readonly workerId: string;
  readonly sealedAt: string;
  readonly byteLength: number;
  /** 64 hex digits: of the stream that was sealed; null if it was not computed. */
  readonly sha256: string | null;
  /** `fsverity-sha256-12:<64 hex>`: of the resident bytes, hashed in place for this statement. */
  readonly fsverity: string;
  readonly residency: SealPayload['residency'];
  readonly immutability: SealPayload['immutability'];
  /** A test driver ran the kernels: no GPU is involved. */
  readonly emulated: boolean;
  readonly policy: Policy;
  readonly device: AttestedDevice;
  readonly modelRef: string | null;
  readonly shardIndex: number | null;
  readonly totalShards: number | null;
  readonly auditLog: {
    readonly origin: string;
    readonly size: number;
    /** Hex. */
    readonly root: string;
    readonly checkpoint: string | null;
  } | null;
  readonly signedBy: typeof SIGNED_BY;
}

/** About a seal of version 1. */
export interface ResidencyPredicateV1 extends ResidencyFacts {
  readonly v: 1;
}

/** About a seal of version 2, including its layout. */
export interface ResidencyPredicateV2 extends ResidencyFacts {
  readonly v: 2;
  readonly layout: SealLayout;
  /** SHA-256 of the tensors' manifest, 64 hex digits, or null. */
  readonly tensors: string | null;
  /** The published files that the resident tensors were packed from, or null. */
  readonly source: readonly SealedFile[] | null;
  readonly shared: boolean;
}

/** What a statement says of a shard: version 1 of a file as it is, version 2 also of packed tensors. */
export type ResidencyPredicate = ResidencyPredicateV1 | ResidencyPredicateV2;

/** An in-toto statement that bytes with these digests are resident. */
export interface ResidencyStatement {
  readonly _type: typeof STATEMENT_VERSION;
  readonly subject: readonly [{ readonly name: string; readonly digest: Readonly<Record<string, string>> }];
  readonly predicateType: (typeof PREDICATE_TYPES)[ResidencyPredicate['v']];
  readonly predicate: ResidencyPredicate;
}

/** Name of the fs-verity digest in a subject's digest set; its value is the 64 hex digits. */
const FSVERITY_ALGORITHM = 'fsverity-sha256-12';

export interface StatementFacts {
  readonly sealed: SealPayload;
  readonly info: DeviceInfo;
  readonly policy: Policy;
  readonly nonce: Uint8Array;
  readonly verifiedAt: string;
  readonly attestedAt: string;
  readonly auditHead: AuditLogHead | null;
}

/** The statement about one shard. */
export function residencyStatement(facts: StatementFacts): ResidencyStatement {
  const { sealed } = facts;
  return {
    _type: STATEMENT_VERSION,
    subject: [{ name: sealed.shardId, digest: digestSet(sealed) }],
    predicateType: PREDICATE_TYPES[sealed.v],
    predicate: predicateOf(facts),
  };
}

function predicateOf(facts: StatementFacts): ResidencyPredicate {
  const { sealed } = facts;
  if (sealed.v === 1) return { v: 1, ...residencyFacts(facts) };
  const { layout, tensors, source, shared } = sealed;
  return { v: 2, ...residencyFacts(facts), layout, tensors, source, shared };
}

function residencyFacts(facts: StatementFacts): ResidencyFacts {
  const { sealed, info, auditHead } = facts;
  return {
    nonce: toHex(facts.nonce),
    verifiedAt: facts.verifiedAt,
    attestedAt: facts.attestedAt,
    verification: 'resident',
    sealId: sealed.sealId,
    shardId: sealed.shardId,
    workerId: sealed.workerId,
    sealedAt: sealed.sealedAt,
    byteLength: sealed.byteLength,
    sha256: sealed.sha256,
    fsverity: sealed.fsverity,
    residency: sealed.residency,
    immutability: sealed.immutability,
    emulated: sealed.emulated,
    policy: facts.policy,
    device: {
      backend: info.backend,
      index: info.index,
      name: info.name,
      uuid: info.uuid,
      driver: info.driver,
      execution: info.execution,
      ecc: info.ecc,
    },
    modelRef: sealed.modelRef,
    shardIndex: sealed.shardIndex,
    totalShards: sealed.totalShards,
    auditLog:
      auditHead === null
        ? null
        : {
            origin: auditHead.origin,
            size: auditHead.size,
            root: toHex(auditHead.root),
            checkpoint: auditHead.checkpoint,
          },
    signedBy: SIGNED_BY,
  };
}

/** The digests of the seal, by which in-toto matches artifacts. */
export function digestSet({
  sha256,
  fsverity,
}: Pick<SealPayload, 'sha256' | 'fsverity'>): Record<string, string> {
  return {
    [FSVERITY_ALGORITHM]: fsverity.slice(FSVERITY_ALGORITHM.length + 1),
    ...(sha256 === null ? {} : { sha256 }),
  };
}

/** Canonical JSON (RFC 8785): what is signed. */
export function statementBytes(statement: ResidencyStatement): Uint8Array {
  return canonicalBytes(statement, 'statement');
}

import type { VramError } from './errors.js';
import type { DamagedRange, VerifyMode } from './events.js';

/** What a sampled verification looked at, and what it may have missed. */
export interface SampleReport {
  readonly groups: number;
  readonly totalGroups: number;
  /** For numbers of damaged groups: the chance, from 0 to 1, that none of them was drawn. */
  readonly chanceOfMiss: readonly { readonly damagedGroups: number; readonly chance: number }[];
}

/** What a verification found. */
export interface VerificationReport {
  readonly verified: boolean;
  readonly shardId: string;
  readonly sealId: string;
  readonly mode: VerifyMode;
  readonly byteLength: number;
  /** The sealed digest. */
  readonly expected: string;
  /** The digest of what is in device memory; null where only a sample of it was hashed. */
  readonly actual: string | null;
  /** What a sampled verification looked at; null for the others. */
  readonly sample: SampleReport | null;
  /** A mismatch that a second run did not repeat: neither clean nor proof of damage. */
  readonly transient: boolean;
  /** Ascending, not touching each other. Whole groups of 128 blocks where `exact` is false. */
  readonly damaged: readonly DamagedRange[];
  /** Started 512 KiB groups with damage in them. */
  readonly damagedGroups: number;
  /** Whether `damaged` names single blocks. */
  readonly exact: boolean;
  /** RFC 3339, UTC, milliseconds: when the verification began. */
  readonly startedAt: string;
  readonly durationMs: number;
}

/** What was found of a model's shards. */
export interface SetReport {
  readonly modelRef: string;
  /** All there, all verified. */
  readonly verified: boolean;
  /** null if none of its shards says that it belongs to a set. */
  readonly totalShards: number | null;
  /** Indexes that no live shard has, ascending. */
  readonly missing: readonly number[];
  readonly shards: readonly {
    readonly shardId: string;
    readonly shardIndex: number | null;
    readonly report: VerificationReport | null;
    readonly error: VramError | null;
  }[];
}

/** The fields of `Other` that `Own` lacks, as absent: either can be asked for them. */
type Without<Other, Own> = { readonly [Field in Exclude<keyof Other, keyof Own>]?: never };

/** What an error tells of damage: the report of verify(), or that of verifySet(), which alone has `shards`. */
export type ErrorReport =
  | (VerificationReport & Without<SetReport, VerificationReport>)
  | (SetReport & Without<VerificationReport, SetReport>);

import { dirname, join, resolve } from 'node:path';
import { CompactRange } from '../../audit/index.js';
import {
  checkOptions,
  concatBytes,
  equalBytes,
  invalidInput,
  type OptionKeys,
  utf8,
  VramError,
} from '../../base/index.js';
import type { CryptoProvider } from '../../crypto/index.js';
import { type AuditFileSystem, checkTrustOwner, directoryFault, replaceFile } from '../files/index.js';
import { type AuditPlatform, systemPlatform } from './directory.js';
import { listLog } from './layout.js';
import { newestCheckpoint } from './prove.js';
import { reading } from './verify.js';
import { walkLeaves } from './walk.js';

/** Hashes in a full tile (C2SP tlog-tiles). */
const TILE_WIDTH = 256;

/** What exportTiles() wrote. */
export interface ExportReport {
  readonly v: 1;
  readonly origin: string;
  /** Records under the exported checkpoint. */
  readonly size: number;
  /** Tiles of hashes and bundles of entries written. */
  readonly files: number;
  /** Entries before this one are not in the export: they were pruned. */
  readonly minimumIndex: number;
}

/** Options of exportTiles(). */
export interface ExportOptions {
  /** A further trusted owner of `target` and the directories above it, besides this process's user and root. */
  readonly trustOwner?: number | undefined;
}

const EXPORT_KEYS = { trustOwner: true } satisfies OptionKeys<ExportOptions>;

/** Documented at the door, index.ts. */
export async function exportTiles(
  dir: string,
  target: string,
  options: ExportOptions = {},
  platform: AuditPlatform = systemPlatform,
): Promise<ExportReport> {
  checkOptions('options', options, EXPORT_KEYS);
  const trustOwner = checkTrustOwner(options.trustOwner);
  if (target === '') throw invalidInput('target', 'must be a path');
  return reading(async () => {
    const { fs, crypto } = platform;
    const fault = await directoryFault(resolve(target), trustOwner);
    if (fault !== null) throw invalidInput('target', `is not safe to write to: it ${fault}`);
    const checkpoint = await newestCheckpoint(platform, dir);
    const files = await listLog(fs, dir);
    const writer = new TileWriter(fs, crypto, target);
    const tree = new CompactRange(crypto);
    let minimumIndex = 0;
    for await (const { seq, hash, line } of walkLeaves(platform, dir, files, checkpoint.size)) {
      if (line === null) minimumIndex = seq + 1;
      await tree.append(hash);
      await writer.add(hash, line);
    }
    if (!equalBytes(await tree.root(), checkpoint.root)) {
      throw new VramError(
        'AUDIT_CORRUPT',
        'the audit log is corrupt: its records are not those of its checkpoint',
      );
    }
    const written = await writer.finish();
    await replaceFile(fs, join(target, 'checkpoint'), utf8(checkpoint.note));
    // A bundle with a pruned entry cannot be written, so the export begins at the next whole one.
    const whole = Math.ceil(minimumIndex / TILE_WIDTH) * TILE_WIDTH;
    return {
      v: 1,
      origin: checkpoint.origin,
      size: checkpoint.size,
      files: written + 1,
      minimumIndex: Math.min(whole, checkpoint.size),
    };
  }, 'the audit log cannot be exported');
}

class TileWriter {
  readonly #fs: AuditFileSystem;
  readonly #crypto: CryptoProvider;
  readonly #target: string;
  /** The partial tile of each level, with the number of full ones before it. */
  readonly #levels: { hashes: Uint8Array[]; full: number }[] = [];
  #entries: Uint8Array[] = [];
  #entriesWhole = true;
  #bundles = 0;
  #files = 0;

  constructor(fs: AuditFileSystem, crypto: CryptoProvider, target: string) {
    this.#fs = fs;
    this.#crypto = crypto;
    this.#target = target;
  }

  async add(hash: Uint8Array, line: Uint8Array | null): Promise<void> {
    if (line === null) this.#entriesWhole = false;
    this.#entries.push(line === null ? new Uint8Array(0) : entry(line));
    if (this.#entries.length === TILE_WIDTH) await this.#flushBundle('');
    await this.#addHash(0, hash);
  }

  /** Writes the partial tiles. Resolves to the number of files. */
  async finish(): Promise<number> {
    if (this.#entries.length > 0) await this.#flushBundle(`.p/${this.#entries.length}`);
    for (const [level, { hashes, full }] of this.#levels.entries()) {
      if (hashes.length > 0) {
        await this.#write(`tile/${level}/${tilePath(full)}.p/${hashes.length}`, concatBytes(...hashes));
      }
    }
    return this.#files;
  }

  async #addHash(level: number, hash: Uint8Array): Promise<void> {
    this.#levels[level] ??= { hashes: [], full: 0 };
    const tile = this.#levels[level];
    tile.hashes.push(hash);
    if (tile.hashes.length < TILE_WIDTH) return;
    const { hashes, full } = tile;
    await this.#write(`tile/${level}/${tilePath(full)}`, concatBytes(...hashes));
    this.#levels[level] = { hashes: [], full: full + 1 };
    const subtree = new CompactRange(this.#crypto);
    for (const each of hashes) await subtree.append(each);
    await this.#addHash(level + 1, await subtree.root());
  }

  async #flushBundle(suffix: string): Promise<void> {
    if (this.#entriesWhole) {
      await this.#write(`tile/entries/${tilePath(this.#bundles)}${suffix}`, concatBytes(...this.#entries));
    }
    this.#entries = [];
    this.#entriesWhole = true;
    this.#bundles += 1;
  }

  async #write(name: string, bytes: Uint8Array): Promise<void> {
    const path = join(this.#target, name);
    await this.#fs.makeDirectory(dirname(path));
    await replaceFile(this.#fs, path, bytes);
    this.#files += 1;
  }
}

/** Big-endian uint16 length, then the entry. */
function entry(line: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(line.length >> 8, line.length & 0xff), line);
}

/** 1234067 is x001/x234/067. */
function tilePath(index: number): string {
  const groups: string[] = [];
  for (let rest = index; ; rest = Math.floor(rest / 1000)) {
    groups.unshift(String(rest % 1000).padStart(3, '0'));
    if (rest < 1000) break;
  }
  return groups.map((group, place) => (place < groups.length - 1 ? `x${group}` : group)).join('/');
}

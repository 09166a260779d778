import {
  type DamagedRange,
  type Device,
  isVramError,
  type SealedShard,
  type Source,
  type VerifyMode,
  VramManager,
} from 'vram-residency/browser';
import type {
  BlockRange,
  Comparison,
  DeviceFacts,
  Flip,
  Healed,
  ModelFacts,
  Notice,
  Opened,
  Released,
  Verdict,
} from '../protocol.js';
import type { Account } from './audit.js';
import { BLOCK_BYTES } from './blocks.js';
import { type OpenedGpu, openGpu } from './device.js';
import type { LoadedModel } from './models.js';

const WORKER_ID = 'browser-page';
const TOKEN_BYTES = 32;

/** One model, sealed; with the manager, device and log that belong to it. */
export class Session {
  readonly manager: VramManager;
  readonly shard: SealedShard;
  readonly opened: Opened;
  readonly account: Account;
  readonly device: Device | null;
  readonly #gpu: GPUDevice | null;
  readonly #source: Source;
  readonly #tell: (notice: Notice) => void;
  #closing = false;

  private constructor(parts: {
    manager: VramManager;
    shard: SealedShard;
    opened: Opened;
    account: Account;
    device: Device | null;
    gpu: GPUDevice | null;
    source: Source;
    tell: (notice: Notice) => void;
  }) {
    this.manager = parts.manager;
    this.shard = parts.shard;
    this.opened = parts.opened;
    this.account = parts.account;
    this.device = parts.device;
    this.#gpu = parts.gpu;
    this.#source = parts.source;
    this.#tell = parts.tell;
  }

  /** Errors: those of VramManager.open() and seal(). */
  static async open(
    load: (manager: VramManager, device: Device | null, onProgress: OnProgress) => Promise<LoadedModel>,
    tell: (notice: Notice) => void,
  ): Promise<Session> {
    // Nothing happens before a model is chosen that a log could hold.
    const [opened, { Account }] = await Promise.all([openGpu(), import('./audit.js')]);
    const [device, gpu] = typeof opened === 'string' ? [null, null] : [opened.device, opened.gpu];
    const token = crypto.getRandomValues(new Uint8Array(TOKEN_BYTES));
    const account = await Account.open(WORKER_ID, token, {
      sentence: (sentence) => tell({ notice: 'sentence', sentence }),
      records: (records) => tell({ notice: 'records', records }),
    });
    const manager = await VramManager.open({
      device: device ?? 'host',
      // Every class, so that the page works everywhere; the library's default, vram-only, accepts none that a page can have.
      policy: 'any',
      workerId: WORKER_ID,
      // Overwritten with zeros once the keys are derived.
      token,
      drills: true,
      // Leaf hashes of all blocks: damage is named to the block.
      keep: 'leaves',
      observers: account.observers,
    });
    try {
      const model = await load(manager, device, ({ phase, bytes, totalBytes }) =>
        tell({ notice: 'progress', phase, bytes, totalBytes }),
      );
      const { shard, source, sealMs } = model;
      const facts: Opened = {
        device: deviceFacts(manager, opened),
        model: modelFacts(model),
        sealed: { ms: sealMs, bytes: shard.byteLength },
      };
      const session = new Session({ manager, shard, opened: facts, account, device, gpu, source, tell });
      void device?.lost.then(() => session.#onLost());
      return session;
    } catch (error) {
      await manager.close();
      await device?.close();
      gpu?.destroy();
      throw error;
    }
  }

  /** Damage is an answer, not an error. */
  async verify(mode: VerifyMode = 'resident'): Promise<Verdict> {
    const began = performance.now();
    const before = this.#readback();
    const tell = (
      verified: boolean,
      ms: number,
      damaged: readonly DamagedRange[],
      message: string,
    ): Verdict => ({
      verified,
      damaged: rangesOf(damaged),
      message,
      ms,
      bytes: this.shard.byteLength,
      readbackBytes: this.device === null ? null : this.#readback() - before,
    });
    try {
      const report = await this.manager.verify(this.shard, { mode, onProgress: this.#onProgress });
      return tell(report.verified, report.durationMs, report.damaged, '');
    } catch (error) {
      if (!isVramError(error, 'INTEGRITY_VIOLATION')) throw error;
      return tell(false, performance.now() - began, error.report?.damaged ?? [], error.message);
    }
  }

  async flip(bits: number, seed: number | null): Promise<Flip[]> {
    const { flips } = await this.manager.drill(this.shard, {
      flips: bits,
      ...(seed === null ? {} : { seed }),
    });
    const { tensors } = this.opened.model;
    return flips.map(({ byte, bit, tensor }) => {
      const block = Math.floor(byte / BLOCK_BYTES);
      const found = tensor ?? tensors.find((one) => isIn(block, one))?.name ?? null;
      return { block, byte, bit, tensor: found };
    });
  }

  async heal(): Promise<Healed> {
    const { healedBlocks, durationMs } = await this.manager.heal(this.shard, this.#source, {
      onProgress: this.#onProgress,
    });
    return { ms: durationMs, bytes: this.shard.byteLength, blocks: healedBlocks };
  }

  async release(): Promise<Released> {
    const began = performance.now();
    const { freedBytes, wiped } = await this.manager.release(this.shard);
    return { ms: performance.now() - began, bytes: freedBytes, wiped };
  }

  /** In place, read back, and WebCrypto over the same bytes from the source, which lie in host memory already. */
  async compare(): Promise<Comparison> {
    const inPlace = await this.#clean('resident');
    const readBack = await this.#clean('readback');
    const bytes = await this.#source.readRange?.(0, this.shard.byteLength);
    if (bytes === undefined) throw new Error('the source cannot be read again');
    const began = performance.now();
    await crypto.subtle.digest('SHA-256', new Uint8Array(bytes));
    const webCrypto = { ms: performance.now() - began, bytes: bytes.length };
    return { inPlace, readBack, webCrypto };
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.manager.close();
    await this.#source.close();
    await this.device?.close();
    this.#gpu?.destroy();
  }

  async #clean(mode: VerifyMode): Promise<Verdict> {
    const verdict = await this.verify(mode);
    if (!verdict.verified) throw new Error(`the model is damaged, heal it first: ${verdict.message}`);
    return verdict;
  }

  #onLost(): void {
    // Closing ends the device too.
    if (this.#closing) return;
    this.#tell({ notice: 'lost', reason: 'The GPU device was lost, and every seal on it is void.' });
  }

  #readback(): number {
    return this.device?.stats().readbackBytes ?? 0;
  }

  readonly #onProgress: OnProgress = ({ phase, bytes, totalBytes }) =>
    this.#tell({ notice: 'progress', phase, bytes, totalBytes });
}

export type OnProgress = (progress: {
  readonly phase: string;
  readonly bytes: number;
  readonly totalBytes: number;
}) => void;

/** Damage as blocks; the page knows the tensors. */
export function rangesOf(damaged: readonly DamagedRange[]): BlockRange[] {
  return damaged.map(({ firstBlock, blocks }) => ({ firstBlock, blocks }));
}

function isIn(block: number, { firstBlock, blocks }: BlockRange): boolean {
  return block >= firstBlock && block < firstBlock + blocks;
}

/** `gpu`: the opened device, or the reason why there is none. */
function deviceFacts(manager: VramManager, gpu: OpenedGpu | string): DeviceFacts {
  const { deviceName, residency, residencyReason } = manager.status();
  const fallback = typeof gpu === 'string' ? gpu : null;
  const name = typeof gpu === 'string' || gpu.name === '' ? deviceName : gpu.name;
  return { name, residency, reason: residencyReason, fallback };
}

function modelFacts({ name, shard, tensors, tensorNote, sealed }: LoadedModel): ModelFacts {
  return {
    name,
    byteLength: shard.byteLength,
    blocks: Math.ceil(shard.byteLength / BLOCK_BYTES),
    fsverity: shard.fsverity,
    immutability: shard.immutability,
    tensors,
    tensorNote,
    reads: sealed !== null,
    stayingBytes: sealed?.stayingBytes ?? 0,
  };
}

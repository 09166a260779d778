// Shared by the steps that lend memory: a shard that can be lent, and processes that borrow it.

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isVramError } from '../../../src/base/errors.js';
import { openShareServer, type SealedShard, type ShareServer, VramManager } from '../../../src/index.js';
import type { Source } from '../../../src/source/types.js';
import { Failure, kitPath, type StepContext } from './context.js';
import { CHUNK, CHUNK_BYTES, repeatedSource } from './data.js';
import { LineChild } from './line-child.js';

const SHARD_BYTES = 2 ** 28;
const WAIT_MS = 20_000;
const POLL_MS = 50;
export const MODEL = 'model';

/** A manager, one shard of generated data, and the server that lends it. */
export class Lending {
  readonly manager: VramManager;
  readonly source: Source;
  readonly shard: SealedShard;
  readonly server: ShareServer;
  /** SHA-256 of the shard's bytes, in hex. */
  readonly sha256: string;
  readonly #socket: string;
  readonly #borrowers: LineChild[] = [];

  private constructor(
    manager: VramManager,
    source: Source,
    shard: SealedShard,
    server: ShareServer,
    socket: string,
  ) {
    this.manager = manager;
    this.source = source;
    this.shard = shard;
    this.server = server;
    this.sha256 = sha256Of(source.byteLength);
    this.#socket = socket;
  }

  /** `name`: of the socket. `releaseLimitMs`: as openShareServer's. Errors: those of sealing and of the server. */
  static async open(
    context: StepContext,
    manager: VramManager,
    name: string,
    releaseLimitMs = WAIT_MS,
  ): Promise<Lending> {
    const source = repeatedSource(context.affordable(SHARD_BYTES));
    const shard = await manager.seal(source, { share: true });
    const socket = join(context.setting.workFolder, name);
    const server = await openShareServer(manager, { socket, models: { [MODEL]: shard }, releaseLimitMs });
    return new Lending(manager, source, shard, server, socket);
  }

  /** A process that has the lease. */
  async borrow(): Promise<LineChild> {
    const borrower = borrowFrom(this.#socket);
    this.#borrowers.push(borrower);
    const begun = await borrower.answer();
    if (begun.number('byteLength') !== this.source.byteLength) {
      throw new Failure('the borrower was lent a shard of another length');
    }
    return borrower;
  }

  /** Errors: Failure, unless the borrower's GPU reads what was sealed. */
  async requireSame(borrower: LineChild, when: string): Promise<void> {
    if ((await borrower.order('read')).text('sha256') !== this.sha256) {
      throw new Failure(`${when}: the borrower does not read what was sealed`);
    }
  }

  async close(): Promise<void> {
    for (const borrower of this.#borrowers) await borrower.kill();
    await this.server.close();
  }
}

export function openManager(context: StepContext): Promise<VramManager> {
  return VramManager.open({
    workerId: 'kit',
    device: context.deviceName(),
    policy: context.policy(),
    drills: true,
    keep: 'leaves',
  });
}

/** Starts to borrow; the first line reports whether it could. */
export function borrowFrom(socket: string): LineChild {
  const program = kitPath('../clients/python/kit/borrower.py');
  return new LineChild('the borrower', 'python3', [program, socket, MODEL]);
}

/** The code and the message of the error that `work` throws. Errors: Failure if it succeeds. */
export async function refused(
  work: Promise<unknown>,
  what: string,
): Promise<{ code: string; message: string }> {
  try {
    await work;
  } catch (error) {
    if (isVramError(error)) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Failure(`${what} was carried out`);
}

/** Errors: Failure, if `condition` does not become true in 20 s. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const end = performance.now() + WAIT_MS;
  while (!(await condition())) {
    if (performance.now() > end) throw new Failure(`${what}: not within ${WAIT_MS / 1000} s`);
    await sleep(POLL_MS);
  }
}

/** Free bytes of the device, as the driver reports them for all processes together. */
export async function freeBytes(manager: VramManager): Promise<number> {
  const { availableBytes } = await manager.capacity();
  if (availableBytes === null) throw new Failure('the driver does not report how much memory is free');
  return availableBytes;
}

function sha256Of(byteLength: number): string {
  const hash = createHash('sha256');
  for (let at = 0; at < byteLength; at += CHUNK_BYTES) hash.update(CHUNK);
  return hash.digest('hex');
}

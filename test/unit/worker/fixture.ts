import { randomBytes } from 'node:crypto';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WorkerEvent } from '../../../src/api-schema/index.js';
import { systemClock } from '../../../src/base/index.js';
import { VramManager } from '../../../src/index.js';
import type { ManagerOptions } from '../../../src/manager/index.js';
import type { GuardClaim } from '../../../src/worker/guards/index.js';
import { ShardWatch } from '../../../src/worker/models/index.js';
import { Worker, type WorkerOptions } from '../../../src/worker/service/index.js';
import { pattern } from '../manager/fixture.js';

/** A worker over the host device, a folder for its models, and how to end both. */
export interface Rig extends AsyncDisposable {
  readonly worker: Worker;
  readonly manager: VramManager;
  readonly root: string;
  /** Writes a model of so many bytes below the root and gives its path. */
  write(name: string, byteLength: number, seed?: number): Promise<string>;
  /** What guards said, as it was put on record. */
  readonly claims: readonly GuardClaim[];
  /** The events so far. */
  events(): Promise<readonly WorkerEvent[]>;
  /** Waits until the name's newest generation is loaded, or has failed. */
  settled(name: string): Promise<void>;
}

export async function rig(
  options: Partial<WorkerOptions> = {},
  managerOptions: Partial<ManagerOptions> = {},
): Promise<Rig> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'vram-worker-')));
  const claims: GuardClaim[] = [];
  const watch = new ShardWatch();
  const manager = await VramManager.open({
    device: 'host',
    policy: 'any',
    workerId: 'worker',
    budgetBytes: 512 * 2 ** 20,
    ...managerOptions,
    observers: [watch, ...(managerOptions.observers ?? [])],
  });
  const worker = Worker.start({
    manager,
    watch,
    roots: [root],
    urlHosts: [],
    models: [],
    stallMs: 30_000,
    reservationMs: 60_000,
    mostModels: 16,
    scrub: null,
    onnx: null,
    engines: [],
    mostQueued: 4,
    drainMs: 1_000,
    share: null,
    recordClaim: (claim) => {
      claims.push(claim);
      return Promise.resolve();
    },
    onUnforeseen: (error) => {
      throw error;
    },
    clock: systemClock,
    randomHex: (bytes) => randomBytes(bytes).toString('hex'),
    ...options,
  });
  const events = async (): Promise<readonly WorkerEvent[]> => {
    const seen: WorkerEvent[] = [];
    const { lastId } = worker.events;
    if (lastId === 0) return seen;
    for await (const event of worker.events.follow(0, new AbortController().signal)) {
      seen.push(event);
      if (event.id === lastId) break;
    }
    return seen;
  };
  return {
    worker,
    manager,
    root,
    events,
    claims,
    async write(name, byteLength, seed = 1) {
      const path = join(root, name);
      await writeFile(path, pattern(byteLength, seed));
      return path;
    },
    async settled(name) {
      const newest = Math.max(
        ...worker
          .models()
          .filter((one) => one.name === name)
          .map((one) => one.next?.generation ?? one.generation),
      );
      for await (const event of worker.events.follow(0, AbortSignal.timeout(20_000))) {
        const isEnd = event.type === 'model.ready' || event.type === 'model.failed';
        if (isEnd && event.model === name && event.generation === newest) return;
      }
      throw new Error(`${name} did not settle`);
    },
    async [Symbol.asyncDispose]() {
      await worker.close();
      await manager.close();
      await rm(root, { recursive: true });
    },
  };
}

export const MIB = 2 ** 20;

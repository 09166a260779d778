// The page under test: weights from a URL, their cache, digests in workers, an audit log.
import * as library from '../../dist/browser.js';
import type { RuntimeAudit, RuntimeSeal } from './report.js';

const DIGEST_WORKER = '/digest-worker.js';

interface SealRequest {
  readonly path: string;
  readonly expected: string;
  readonly device?: string;
  readonly cached?: boolean;
  readonly workers?: number;
}

function digests(workers: number | undefined): ReturnType<typeof library.digestWorkers> | undefined {
  if (workers === undefined) return undefined;
  return library.digestWorkers({
    worker: () => new Worker(DIGEST_WORKER, { type: 'module' }),
    workers,
  });
}

/** Seals from a URL and verifies; watches how long the page's thread was kept meanwhile. */
async function seal(request: SealRequest): Promise<RuntimeSeal> {
  const { path, expected, device = 'host', cached = false, workers } = request;
  const engine = digests(workers);
  const manager = await library.VramManager.open({ device, policy: 'any', workerId: 'page', engine });
  const watch = watchThread();
  try {
    const cache = cached ? await library.OpfsCache.open() : undefined;
    const began = performance.now();
    const sealed = await library.sealFromUrl(manager, new URL(path, location.href), { expected, cache });
    const sealMs = performance.now() - began;
    const { verified } = await manager.verify(sealed.shard);
    await manager.release(sealed.shard);
    return {
      outcome: 'sealed',
      verified,
      cache: sealed.cache,
      evicted: sealed.evicted,
      sealMs,
      longestBlockMs: watch.end(),
    };
  } catch (error) {
    watch.end();
    const outcome = library.isVramError(error) ? error.code : String(error);
    return { outcome, verified: false, cache: null, evicted: false, sealMs: 0, longestBlockMs: 0 };
  } finally {
    await manager.close();
    await engine?.close();
  }
}

/** The longest time between two turns of the page's thread. */
function watchThread(): { end(): number } {
  const { port1, port2 } = new MessageChannel();
  let last = performance.now();
  let longest = 0;
  port1.onmessage = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    setTimeout(() => port2.postMessage(null), 1);
  };
  port2.postMessage(null);
  return {
    end: () => {
      longest = Math.max(longest, performance.now() - last);
      port1.close();
      return longest;
    },
  };
}

/** Milliseconds that a tree over so many bytes takes in so many workers, and the longest block meanwhile. */
async function hash(byteLength: number, workers: number): Promise<{ ms: number; longestBlockMs: number }> {
  const engine = digests(workers);
  if (engine === undefined) throw new Error('no workers');
  const bytes = new Uint8Array(byteLength).fill(3);
  const once = async (): Promise<void> => {
    const stream = engine.start({ byteLength, sha256: false, keep: 'groups' });
    for (let at = 0; at < byteLength; at += 2 ** 21) await stream.update(bytes.subarray(at, at + 2 ** 21));
    await stream.finish();
  };
  await once();
  const watch = watchThread();
  const began = performance.now();
  await once();
  const ms = performance.now() - began;
  const longestBlockMs = watch.end();
  await engine.close();
  return { ms, longestBlockMs };
}

/** What a script of the origin could do: other bytes under the same name. */
async function tamper(): Promise<number> {
  const root = await navigator.storage.getDirectory();
  const folder = await (await root.getDirectoryHandle('vram-residency')).getDirectoryHandle('weights');
  let changed = 0;
  for await (const handle of folder.values()) {
    if (handle.kind !== 'file') continue;
    const writable = await handle.createWritable({ keepExistingData: true });
    await writable.write({ type: 'write', position: 5000, data: new Uint8Array([1]) });
    await writable.close();
    changed++;
  }
  return changed;
}

async function cached(): Promise<number[]> {
  return (await (await library.OpfsCache.open()).entries()).map(({ byteLength }) => byteLength);
}

async function auditedInWorker(): Promise<RuntimeAudit> {
  const worker = new Worker('/worker.js', { type: 'module' });
  try {
    return await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => (data.report ? resolve(data.report) : reject(new Error(data.error)));
      worker.onerror = () => reject(new Error('the worker could not be started'));
      worker.postMessage(null);
    });
  } finally {
    worker.terminate();
  }
}

/** A digest worker that is killed from outside in the middle of a stream. */
async function killedWorker(): Promise<string> {
  const started: Worker[] = [];
  const engine = library.digestWorkers({
    worker: () => {
      const worker = new Worker(DIGEST_WORKER, { type: 'module' });
      started.push(worker);
      return worker;
    },
    workers: 1,
    stallMs: 1000,
  });
  const manager = await library.VramManager.open({ device: 'host', policy: 'any', workerId: 'page', engine });
  const bytes = new Uint8Array(2 ** 22);
  const source: library.Source = {
    ...library.bytesSource(bytes),
    async *stream({ chunkBytes }) {
      yield bytes.subarray(0, chunkBytes);
      for (const worker of started) worker.terminate();
      yield bytes.subarray(chunkBytes);
    },
  };
  let outcome = 'sealed';
  try {
    await manager.seal(source);
  } catch (error) {
    outcome = library.isVramError(error) ? error.code : String(error);
  }
  const shard = await manager.seal(library.bytesSource(bytes));
  const { verified } = await manager.verify(shard);
  await manager.close();
  await engine.close();
  return `${outcome}, then verified: ${verified}`;
}

async function auditOnThePage(): Promise<string> {
  try {
    await library.OpfsAuditSink.open();
    return 'opened';
  } catch (error) {
    return library.isVramError(error) ? error.code : String(error);
  }
}

let kept: Promise<{ verify(): Promise<string> }> | undefined;

/** Seals and stays so; then what a verification says, after whatever happened to the page meanwhile. */
async function keep(device: string): Promise<string> {
  kept ??= (async () => {
    const manager = await library.VramManager.open({ device, policy: 'any', workerId: 'page' });
    const shard = await manager.seal(library.bytesSource(new Uint8Array(100_000).fill(5)));
    return {
      verify: async () => {
        try {
          return (await manager.verify(shard)).verified ? 'verified' : 'not verified';
        } catch (error) {
          return library.isVramError(error) ? error.code : String(error);
        }
      },
    };
  })();
  return await (await kept).verify();
}

const roundsManager = (): Promise<library.VramManager> =>
  library.VramManager.open({ device: 'webgpu:0', policy: 'any', workerId: 'page' });
let rounding: Promise<library.VramManager> | undefined;

/** Seals, verifies and releases again and again with one manager; gives how many verifications succeeded. */
async function rounds(count: number): Promise<number> {
  rounding ??= roundsManager();
  const manager = await rounding;
  const bytes = new Uint8Array(600_000).fill(11);
  let verified = 0;
  for (let round = 0; round < count; round++) {
    const shard = await manager.seal(library.bytesSource(bytes));
    if ((await manager.verify(shard)).verified) verified++;
    await manager.release(shard);
  }
  return manager.status().liveShards === 0 ? verified : -1;
}

const runtime = { seal, hash, tamper, cached, auditedInWorker, killedWorker, auditOnThePage, keep, rounds };
export type Runtime = typeof runtime;

Object.assign(globalThis, { runtime });

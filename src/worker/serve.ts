import { randomBytes } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { type Clock, invalidInput, systemClock } from '../base/index.js';
import type { Device } from '../device/index.js';
import { openShareServer } from '../handover/index.js';
import { recordGuardClaim, type VramManager } from '../manager/index.js';
import { readInput } from '../node/index.js';
import { engineEndpoints, type Settings } from './config/index.js';
import type { GuardClaim } from './guards/index.js';
import { type Address, Admission, type Listener, listen, Tokens, workerApp } from './http/index.js';
import type { ShardWatch } from './models/index.js';
import { OnnxHost } from './onnx/index.js';
import { Worker } from './service/index.js';

const SCRUB_INTERVAL_MS = 60_000;
const MAX_PEM_BYTES = 1_048_576;

export interface ServeOptions {
  readonly settings: Settings;
  readonly manager: VramManager;
  /** One of the manager's observers. */
  readonly watch: ShardWatch;
  /** The manager's own device, for the engine in this process; null without `onnx`. */
  readonly engineDevice?: Device | null;
  readonly clock?: Clock;
  /** Receives unexpected failures. */
  readonly onUnforeseen: (error: unknown) => void;
}

/** A running worker. */
export interface Service {
  readonly worker: Worker;
  /** The addresses on which it listens. */
  readonly addresses: readonly string[];
  /** Drains the worker, then stops accepting requests. Errors: RELEASE_FAILED. */
  close(): Promise<void>;
}

/** Starts a worker and its listeners over an open manager. Errors: INVALID_INPUT naming the setting. */
export async function serve({
  settings,
  manager,
  watch,
  onUnforeseen,
  engineDevice = null,
  clock = systemClock,
}: ServeOptions): Promise<Service> {
  const tokens = await Tokens.open(settings.tokens, () => clock.monotonic(), settings.trustOwner);
  const roots = await Promise.all(settings.roots.map(realRoot));
  const { scrub, drills } = settings;
  const onnx = engineDevice === null ? null : await OnnxHost.open(engineDevice);
  const share = settings.share === undefined ? null : await openShareServer(manager, settings.share);
  const worker = Worker.start({
    manager,
    watch,
    roots,
    urlHosts: settings.urlHosts,
    models: settings.models,
    stallMs: settings.stallMs,
    reservationMs: settings.reservationMs,
    mostModels: settings.mostModels,
    scrub:
      scrub === false
        ? null
        : { intervalMs: scrub.intervalMs ?? SCRUB_INTERVAL_MS, bytesPerSecond: scrub.bytesPerSecond ?? null },
    onnx,
    engines: engineEndpoints(settings),
    mostQueued: settings.mostQueued,
    drainMs: settings.drainMs,
    share,
    recordClaim: (claim) => recordGuardClaim(manager, claimed(claim)),
    onUnforeseen,
    clock,
    randomHex: (bytes) => randomBytes(bytes).toString('hex'),
  });
  const listeners: Listener[] = [];
  const close = async (): Promise<void> => {
    const [drained] = await Promise.allSettled([worker.close()]);
    await share?.close();
    await Promise.all(listeners.map((listener) => listener.close()));
    if (drained.status === 'rejected') throw drained.reason;
  };
  try {
    for (const { address, hosts } of await addressesOf(settings)) {
      const admission = new Admission({ tokens, hosts, clock });
      const app = workerApp({
        worker,
        admission,
        clock,
        drills,
        mostStreams: settings.mostStreams,
        onUnforeseen,
      });
      listeners.push(await listen(address, app, { mostConnections: settings.mostConnections }));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { worker, addresses: listeners.map(({ name }) => name), close };
}

/** In the form of the audit record. */
function claimed({ report, ...who }: GuardClaim): Parameters<typeof recordGuardClaim>[1] {
  return {
    ...who,
    outcome: report?.outcome ?? null,
    against: report?.against ?? null,
    damagedBlocks: report?.damaged_blocks ?? null,
  };
}

async function realRoot(root: string): Promise<string> {
  return await realpath(root).catch((cause: unknown) => {
    throw invalidInput('roots', `names a folder that does not exist: ${JSON.stringify(root)}`, cause);
  });
}

interface Endpoint {
  readonly address: Address;
  /** Values of Host that mean this endpoint. */
  readonly hosts: ReadonlySet<string> | null;
}

async function addressesOf({ socket, listen: tcp, trustOwner }: Settings): Promise<Endpoint[]> {
  const endpoints: Endpoint[] = [];
  if (socket !== undefined)
    endpoints.push({ address: { socket, trustOwner: trustOwner ?? null }, hosts: null });
  if (tcp !== undefined) {
    const { host, port, tls = null, names = [] } = tcp;
    const pair =
      tls === null
        ? null
        : { cert: await pem('cert', tls.cert, trustOwner), key: await pem('key', tls.key, trustOwner) };
    const own = [host, 'localhost', '127.0.0.1', '[::1]'].flatMap((name) => [name, `${name}:${port}`]);
    endpoints.push({
      address: { host, port, tls: pair },
      hosts: new Set([...own, ...names].map((name) => name.toLowerCase())),
    });
  }
  return endpoints;
}

/** The key is as secret as a token. Errors: INVALID_INPUT. */
async function pem(which: 'cert' | 'key', path: string, trustOwner: number | undefined): Promise<Buffer> {
  const limits = { maxBytes: MAX_PEM_BYTES, secret: which === 'key', trustOwner };
  return Buffer.from(await readInput(`listen.tls.${which}`, path, limits));
}

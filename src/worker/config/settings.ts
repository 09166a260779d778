import { isAbsolute } from 'node:path';
import { invalidInput, isVramError, MAX_TIMER_MS, parseStrictJson, VramError } from '../../base/index.js';
import { MAX_UID, readInput } from '../../node/index.js';
import { commitRequest, refusedField } from '../http/index.js';
import { z } from '../packages/index.js';

const MAX_CONFIG_BYTES = 1_048_576;
const MAX_PATH = 4_096;
const MAX_LIST = 256;
const LEAST_SCRUB_BYTES = 512 * 1024;
const MAX_QUEUED = 4_096;
const MAX_CONNECTIONS = 65_536;
const MAX_AT_ONCE = 1_024;
const LOOPBACK_URL = /^http:\/\/(?:127\.0\.0\.1|\[::1\]):\d{1,5}$/;

const path = z.string().min(1).max(MAX_PATH).refine(isAbsolute, 'must be an absolute path');
const port = z.int().min(0).max(65_535);
const milliseconds = z.int().min(1).max(MAX_TIMER_MS);
const host = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[A-Za-z0-9.:-]+$/, 'must be a name or an address');

const listen = z.strictObject({
  host,
  port,
  /** Certificate and key, both in PEM. */
  tls: z.strictObject({ cert: path, key: path }).optional(),
  /** Further names besides `host` by which callers reach this worker, with their port unless it is the scheme's default. */
  names: z.array(host).max(MAX_LIST).optional(),
});

const scrub = z.union([
  z.literal(false),
  z.strictObject({
    intervalMs: milliseconds.optional(),
    bytesPerSecond: z.int().min(LEAST_SCRUB_BYTES).optional(),
  }),
]);

/** A compute server on this host. The process that listens there must hold a lease, or have a guard. */
const engine = z
  .strictObject({
    model: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, 'must be the name of a model'),
    /** `http://127.0.0.1:PORT` or `http://[::1]:PORT`. */
    url: z.string().regex(LOOPBACK_URL, 'must be http://127.0.0.1:PORT or http://[::1]:PORT').optional(),
    /** Or its Unix socket. */
    socket: path.optional(),
    weights: z.enum(['leased', 'guarded']),
    atOnce: z.int().min(1).max(MAX_AT_ONCE).default(16),
  })
  .refine(({ url, socket }) => (url === undefined) !== (socket === undefined), 'must have "url" or "socket"');

const share = z.strictObject({ socket: path, group: z.int().min(0).max(MAX_UID).optional() });

const settings = z.strictObject({
  device: z
    .string()
    .regex(/^(?:auto|host|(?:cuda|webgpu):\d{1,4})$/, 'must be auto, host, cuda:N or webgpu:N')
    .default('auto'),
  policy: z.enum(['vram-only', 'gpu', 'any']).default('vram-only'),
  workerId: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,256}$/, 'must be 1 to 256 of [A-Za-z0-9_-]')
    .default('worker'),
  /** Device bytes that shards and scratch may take. */
  budget: z.int().min(1).optional(),
  /** The worker token, from which seals and the audit log derive their keys. */
  tokenFile: path.optional(),
  /** Directory of the audit log; needs `tokenFile`. */
  audit: path.optional(),
  trustOwner: z.int().min(0).max(MAX_UID).optional(),
  attestationKey: path.optional(),
  /** Unix socket of the HTTP service. */
  socket: path.optional(),
  listen: listen.optional(),
  /** Files with one or two bearer tokens each. */
  tokens: z
    .strictObject({ read: path.optional(), execute: path.optional(), admin: path.optional() })
    .default({}),
  /** Folders that models may be loaded from. */
  roots: z.array(path).max(MAX_LIST).default([]),
  /** Servers that models may be loaded from: `name` or `name:port`. */
  urlHosts: z.array(host).max(MAX_LIST).default([]),
  /** Loaded at start; the worker is ready once all of them are verified. */
  models: z.array(commitRequest).max(MAX_LIST).default([]),
  mostModels: z.int().min(1).max(65_536).default(1_024),
  scrub: scrub.default({}),
  /** A load that receives no byte for this long is aborted. */
  stallMs: milliseconds.default(30_000),
  /** How long a plan reserves its memory. */
  reservationMs: milliseconds.default(60_000),
  /** Computes on ONNX models committed with the layout `tensors`, through WebGPU. */
  onnx: z.boolean().default(false),
  /** Compute servers on this host. */
  engines: z.array(engine).max(MAX_LIST).default([]),
  /** How many executions of one model may wait. */
  mostQueued: z.int().min(1).max(MAX_QUEUED).default(64),
  /** Streams of events that one caller (a token; all without one) may have open on each address. */
  mostStreams: z.int().min(1).max(MAX_CONNECTIONS).default(128),
  /** Connections at one time on each address; more are closed at once. */
  mostConnections: z.int().min(2).max(MAX_CONNECTIONS).default(1_024),
  /** How long a drain waits for executions before it cancels them. */
  drainMs: milliseconds.default(30_000),
  /** Lends models that were committed with `share` to other processes. */
  share: share.optional(),
  /** Directory of the lock that keeps other workers off the device: the same one for the whole host. */
  lockDir: path.default('/run/lock/vram-residency'),
  /** `container`: the lock may be the container's own, because no other container gets the device. */
  lockScope: z.enum(['host', 'container']).default('host'),
  /** Allows deliberate damage. Never in production. */
  drills: z.boolean().default(false),
});

/** The checked settings of a worker. */
export type Settings = z.infer<typeof settings>;

/** Reads a configuration file: JSON, each key at most once. Errors: INVALID_INPUT naming the file. */
export async function readSettingsFile(file: string, signal: AbortSignal): Promise<Record<string, unknown>> {
  const bytes = await readInput('config', file, { maxBytes: MAX_CONFIG_BYTES, signal });
  let value: unknown;
  try {
    value = parseStrictJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    const why = isVramError(cause) ? cause.message : 'it is not UTF-8';
    throw new VramError('INVALID_INPUT', `"config" cannot be used: ${why}`, { argument: 'config', cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidInput('config', 'must hold a JSON object');
  }
  return { ...value };
}

/** Checks the merged settings of file and flags. Errors: INVALID_INPUT naming the field and what it must be. */
export function checkSettings(input: unknown): Settings {
  const parsed = settings.safeParse(input);
  if (!parsed.success) {
    const { field, message } = refusedField(parsed.error);
    throw invalidInput(field ?? 'config', message);
  }
  checkTogether(parsed.data);
  return parsed.data;
}

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/;

function checkTogether({
  audit,
  tokenFile,
  socket,
  listen: address,
  tokens,
  models,
  roots,
  urlHosts,
  device,
  onnx,
  engines,
  share: shareSocket,
  mostStreams,
  mostConnections,
}: Settings): void {
  if (mostStreams >= mostConnections) {
    throw invalidInput(
      'mostStreams',
      'must be below "mostConnections": otherwise event streams could take all connections',
    );
  }
  if (audit !== undefined && tokenFile === undefined) {
    throw invalidInput('audit', 'needs "tokenFile": without it the log cannot be verified');
  }
  if (socket === undefined && address === undefined) {
    throw invalidInput('socket', 'or "listen" must be given: otherwise the worker cannot be reached');
  }
  if (address !== undefined) {
    if (tokens.admin === undefined) {
      throw invalidInput(
        'tokens.admin',
        'is needed with "listen": otherwise any process that reaches the port has full access',
      );
    }
    if (address.tls === undefined && !LOOPBACK.test(address.host)) {
      throw invalidInput('listen.tls', 'is needed beyond loopback: otherwise tokens are sent unencrypted');
    }
  }
  if (onnx && device !== 'auto' && !device.startsWith('webgpu:')) {
    throw invalidInput('onnx', `needs a WebGPU device, and "device" is ${device}`);
  }
  const engineModels = engines.map(({ model }) => model);
  const twoEngines = engineModels.find((name, index) => engineModels.indexOf(name) !== index);
  if (twoEngines !== undefined) throw invalidInput('engines', `names ${JSON.stringify(twoEngines)} twice`);
  if (shareSocket === undefined && engines.some(({ weights }) => weights === 'leased')) {
    throw invalidInput('share', 'is needed for an engine whose weights are "leased"');
  }
  if (shareSocket === undefined && models.some((model) => model.share === true)) {
    throw invalidInput('share', 'is needed for a model that is shared');
  }
  const names = models.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw invalidInput('models', `names ${JSON.stringify(twice)} twice`);
  if (roots.length === 0 && models.some((model) => 'path' in model)) {
    throw invalidInput('roots', 'must name the folders that models are loaded from');
  }
  if (urlHosts.length === 0 && models.some((model) => 'url' in model)) {
    throw invalidInput('urlHosts', 'must name the servers that models are loaded from');
  }
}

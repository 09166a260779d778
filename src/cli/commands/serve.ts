import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { invalidInput } from '../../base/index.js';
import type { Device } from '../../device/index.js';
import { hostIsForced, MAX_UID, openAttestationKey, openDevice } from '../../node/index.js';
import {
  checkSettings,
  readSettingsFile,
  type Service,
  ServiceManager,
  type Settings,
  ShardWatch,
  serve,
  takeDeviceLock,
} from '../../worker/index.js';
import type { AddCommand, CommandContext } from '../context.js';
import { deviceText } from '../device-report.js';
import { EXIT } from '../exit-codes.js';
import { withManager } from '../manager-session.js';
import { type DeviceOptions, deviceOptions, parseCount } from '../options.js';
import { errorLine, jsonDocument } from '../output.js';
import { escapeForTerminal } from '../text.js';

interface ServeFlags extends DeviceOptions {
  readonly config?: string;
  readonly checkConfig?: boolean;
  readonly socket?: string;
  readonly listen?: { readonly host: string; readonly port: number };
  readonly root?: readonly string[];
  readonly urlHost?: readonly string[];
  readonly model?: readonly { readonly name: string; readonly path: string }[];
  readonly readTokens?: string;
  readonly executeTokens?: string;
  readonly adminTokens?: string;
  readonly attestationKey?: string;
  readonly scrub: boolean;
  readonly onnx?: boolean;
  readonly shareSocket?: string;
  readonly shareGroup?: number;
  readonly lockDir?: string;
  readonly lockScope?: 'host' | 'container';
  readonly drills?: boolean;
}

/** `serve`: one worker that holds models sealed and verified, over HTTP. */
export const addServe: AddCommand = (program, context, done) => {
  deviceOptions(program.command('serve'), 'vram-only')
    .description('hold models sealed and verified in device memory, and serve them over HTTP until stopped')
    .option('--config <file>', 'settings as JSON; flags take precedence')
    .option('--check-config', 'check the settings and print them, without opening a device')
    .option('--socket <path>', 'Unix socket to listen on, for this user alone')
    .addOption(
      new Option(
        '--listen <host:port>',
        'TCP address to listen on; needs --admin-tokens, and TLS beyond loopback',
      ).argParser(parseAddress),
    )
    .addOption(repeated('--root <dir>', 'a folder that models may be loaded from', (text) => resolve(text)))
    .addOption(repeated('--url-host <host>', 'a server that models may be loaded from', (text) => text))
    .addOption(
      repeated('--model <name=path>', 'load this at start; not ready before it is verified', parseModel),
    )
    .option('--read-tokens <file>', 'one or two bearer tokens that may read')
    .option('--execute-tokens <file>', 'one or two bearer tokens that may also verify and plan')
    .option('--admin-tokens <file>', 'one or two bearer tokens that may do everything')
    .option('--attestation-key <file>', 'signs residency statements; made if there is none')
    .option(
      '--onnx',
      'compute on ONNX models of layout "tensors"; needs WebGPU and the package onnxruntime-web',
    )
    .option('--share-socket <path>', 'Unix socket on which shared models are lent to other processes')
    .addOption(
      new Option('--share-group <gid>', 'a group whose members may borrow too').argParser(
        parseCount(0, MAX_UID),
      ),
    )
    .option('--lock-dir <dir>', 'where the lock of the device lies, one place for the whole host')
    .addOption(
      new Option('--lock-scope <scope>', 'container: no other container gets the device').choices([
        'host',
        'container',
      ]),
    )
    .option('--no-scrub', 'do not verify in the background')
    .option('--drills', 'allow deliberate damage; never in production')
    .action(async (flags: ServeFlags, command: Command) => {
      const file = flags.config === undefined ? {} : await readSettingsFile(flags.config, context.io.signal);
      const settings = checkSettings({ ...file, ...given(flags, command) });
      if (flags.checkConfig === true) context.io.stdout(jsonDocument({ v: 1, ok: true, settings }));
      else await run(context, flags, settings);
      done(EXIT.ok);
    });
};

async function run(context: CommandContext, flags: ServeFlags, settings: Settings): Promise<void> {
  const watch = new ShardWatch();
  const {
    device,
    policy,
    workerId,
    budget,
    tokenFile,
    audit,
    trustOwner,
    attestationKey: keyFile,
  } = settings;
  const attestationKey =
    keyFile === undefined
      ? undefined
      : await openAttestationKey({ workerId, keyFile, auditDirectory: audit, trustOwner });
  const options = {
    ...flags,
    device,
    policy,
    workerId,
    budget,
    tokenFile,
    audit,
    trustOwner,
  };
  const extra = {
    observers: [watch],
    drills: settings.drills,
    stallMs: 2 * settings.stallMs,
    attestationKey,
  };
  const engineDevice = settings.onnx ? await openEngineDevice(context, settings) : null;
  try {
    const own = engineDevice === null ? extra : { ...extra, device: engineDevice };
    await withManager(context, options, own, ({ manager }) =>
      serveUntilStopped(context, { settings, manager, watch, engineDevice }),
    );
  } finally {
    await engineDevice?.close();
  }
}

/**
 * The very device that will hold the weights, with the features that the engine makes use of. Errors: INVALID_INPUT,
 * DEVICE_UNAVAILABLE.
 */
async function openEngineDevice({ io }: CommandContext, { drills }: Settings): Promise<Device> {
  if (hostIsForced(io.env))
    throw invalidInput('onnx', 'needs a GPU, and this environment forces the host device');
  return await openDevice({ drills });
}

async function serveUntilStopped(
  context: CommandContext,
  options: Omit<Parameters<typeof serve>[0], 'onUnforeseen'>,
): Promise<void> {
  const { manager } = options;
  const { io } = context;
  const { lockDir: directory, lockScope: scope } = options.settings;
  const device = { id: manager.status().device, uuid: manager.device.uuid };
  const lock = await takeDeviceLock({ device, directory, scope, env: io.env });
  try {
    if (lock.weakness !== null) io.stderr(`warning: ${lock.weakness}\n`);
    await serveLocked(context, options);
  } finally {
    lock.release();
  }
}

async function serveLocked(
  { io }: CommandContext,
  options: Omit<Parameters<typeof serve>[0], 'onUnforeseen'>,
): Promise<void> {
  const { manager } = options;
  const service = await serve({ ...options, onUnforeseen: (error) => io.stderr(errorLine(error)) });
  let manages: ServiceManager | null = null;
  try {
    manages = ServiceManager.of({
      env: io.env,
      status: () => statusOf(service),
      onFailure: (reason) => io.stderr(`warning: ${reason}\n`),
    });
    io.stderr(deviceText(manager.device, manager.status()));
    for (const address of service.addresses) io.stderr(`listening on ${escapeForTerminal(address)}\n`);
    manages?.ready();
    await stopped(io.signal);
  } finally {
    manages?.stopping();
    await service.close();
  }
}

/** For the service manager's display. Names of models have no control characters. */
function statusOf({ worker }: Service): string {
  const { state, reason } = worker.readiness();
  const models = worker.models().length;
  return reason === null ? `${state}, ${models} ${models === 1 ? 'model' : 'models'}` : `${state}: ${reason}`;
}

/** The settings that the command line itself gives: what it leaves out is the file's to say. */
function given(flags: ServeFlags, command: Command): Record<string, unknown> {
  const said = (name: string): boolean => command.getOptionValueSource(name) === 'cli';
  const plain = [
    'device',
    'policy',
    'workerId',
    'budget',
    'trustOwner',
    'listen',
    'onnx',
    'lockScope',
    'drills',
  ] as const;
  const paths = ['tokenFile', 'audit', 'socket', 'attestationKey', 'lockDir'] as const;
  const settings: Record<string, unknown> = {};
  for (const name of plain) if (said(name)) settings[name] = flags[name];
  for (const name of paths) {
    const value = flags[name];
    if (value !== undefined) settings[name] = resolve(value);
  }
  if (said('root')) settings['roots'] = flags.root;
  if (said('urlHost')) settings['urlHosts'] = flags.urlHost;
  if (said('model')) settings['models'] = flags.model;
  if (!flags.scrub) settings['scrub'] = false;
  const { shareSocket, shareGroup: group } = flags;
  if (shareSocket !== undefined) settings['share'] = { socket: resolve(shareSocket), group };
  else if (group !== undefined) throw invalidInput('share-group', 'needs --share-socket');
  const { readTokens, executeTokens, adminTokens } = flags;
  const tokens = Object.entries({ read: readTokens, execute: executeTokens, admin: adminTokens });
  const files = tokens.flatMap(([role, path]) => (path === undefined ? [] : [[role, resolve(path)]]));
  if (files.length > 0) settings['tokens'] = Object.fromEntries(files);
  return settings;
}

function repeated<T>(flags: string, description: string, parse: (text: string) => T): Option {
  return new Option(flags, `${description} (repeatable)`).argParser(
    (text: string, before: readonly T[] | undefined) => [...(before ?? []), parse(text)],
  );
}

function parseModel(text: string): { readonly name: string; readonly path: string } {
  const split = text.indexOf('=');
  if (split < 1 || split === text.length - 1) throw new InvalidArgumentError('It must be NAME=PATH.');
  return { name: text.slice(0, split), path: resolve(text.slice(split + 1)) };
}

function parseAddress(text: string): { readonly host: string; readonly port: number } {
  const [, host, digits] = /^(?:\[?)([A-Za-z0-9.:-]+?)(?:\]?):(\d{1,5})$/.exec(text) ?? [];
  if (host === undefined) throw new InvalidArgumentError('It must be HOST:PORT, such as 127.0.0.1:8077.');
  return { host, port: Number(digits) };
}

function stopped(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done();
    else signal.addEventListener('abort', () => done(), { once: true });
  });
}

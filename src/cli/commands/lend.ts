import { Option } from 'commander';
import { invalidInput, isVramError, VramError } from '../../base/index.js';
import { openAddonTransport, ShareServer } from '../../handover/index.js';
import { MAX_TOGETHER, together, type VramManager } from '../../manager/index.js';
import type { SealedShard } from '../../seal/index.js';
import { checkItems } from '../check-files.js';
import { type CheckTarget, isTarget } from '../check-target.js';
import type { AddCommand, CommandContext } from '../context.js';
import { deviceJson, deviceText } from '../device-report.js';
import { every } from '../every.js';
import { type ExitCode, exitCodeOf } from '../exit-codes.js';
import { type ManagerSession, withManager } from '../manager-session.js';
import type { ModelOptions } from '../model-options.js';
import { type DeviceOptions, deviceOptions, parseCount } from '../options.js';
import { jsonDocument } from '../output.js';
import { Progress } from '../progress.js';
import { escapeForTerminal, formatBytes } from '../text.js';

interface LendOptions extends DeviceOptions {
  readonly socket: string;
  readonly group?: number;
  readonly verifyEvery: number;
  readonly layout: 'bytes' | 'tensors';
  readonly format?: ModelOptions['format'];
}

const MAX_GROUP = 2 ** 32 - 2;
/** A day. */
const MAX_SECONDS = 86_400;

/** A lent shard and the source that heals it. */
interface Lent {
  readonly sealed: SealedShard;
  readonly target: CheckTarget;
}

/** `lend NAME=PATH...`: seals models into memory that other processes can map, and lends them until it is stopped. */
export const addLend: AddCommand = (program, context, done) => {
  deviceOptions(program.command('lend'), 'vram-only')
    .description('seal models into GPU memory and lend them to other processes over a Unix socket')
    .argument('<name=path...>', 'names for clients, each with a model file or folder')
    .requiredOption('--socket <path>', 'absolute path of the socket')
    .addOption(
      new Option('--group <gid>', 'members of this group may connect too').argParser(
        parseCount(0, MAX_GROUP),
      ),
    )
    .addOption(
      new Option('--verify-every <seconds>', 'how often everything is verified, and healed from its files')
        .default(60)
        .argParser(parseCount(1, MAX_SECONDS)),
    )
    .addOption(
      new Option('--layout <layout>', 'tensors: clients get tensors by name; bytes: each file as one tensor')
        .choices(['bytes', 'tensors'])
        .default('tensors'),
    )
    .addOption(
      new Option(
        '--format <format>',
        "how files are read; default by the file's name, then by its first bytes",
      ).choices(['raw', 'safetensors', 'gguf', 'onnx']),
    )
    .action(async (models: string[], options: LendOptions) => {
      const named = models.map(parseModel);
      await withManager(context, options, {}, (session) => lend(context, session, named, options, done));
    });
};

type Named = readonly [name: string, path: string];

function parseModel(text: string): Named {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw invalidInput('name=path', 'must be a name, "=", and a path');
  return [text.slice(0, at), text.slice(at + 1)];
}

async function lend(
  context: CommandContext,
  { manager, trace }: ManagerSession,
  models: readonly Named[],
  options: LendOptions,
  done: (code: ExitCode) => void,
): Promise<void> {
  const { io, reporter } = context;
  const people = options.json === true ? io.stderr : io.stdout;
  people(deviceText(manager.device, manager.status()));
  const lent = new Map<string, readonly Lent[]>();
  for (const [name, path] of models) {
    if (lent.has(name)) throw invalidInput('name=path', `has the name ${JSON.stringify(name)} twice`);
    try {
      lent.set(name, await sealModel(context, manager, trace, path, options));
    } catch (error) {
      reporter.report(error, path);
      done(exitCodeOf(error));
      return;
    }
  }
  const transport = await (context.shareTransport ?? openAddonTransport)();
  const offered = [...lent].map(([name, shards]) => [name, shards.map(({ sealed }) => sealed)] as const);
  const server = await ShareServer.open(
    manager,
    {
      socket: options.socket,
      group: options.group,
      trustOwner: options.trustOwner,
      models: Object.fromEntries(offered),
    },
    transport,
  );
  try {
    if (options.json === true) io.stdout(documentOf(manager, options.socket, offered));
    for (const [name, shards] of offered) people(modelText(name, shards));
    people(`lending on ${escapeForTerminal(options.socket)} until stopped\n`);
    const shards = [...lent.values()].flat();
    await every(options.verifyEvery * 1000, io.signal, () => verifyAll(context, manager, trace, shards));
  } finally {
    await server.close();
  }
}

/** All shards of one model, in order. Errors: those of opening and sealing it. */
async function sealModel(
  { io }: CommandContext,
  manager: VramManager,
  trace: ManagerSession['trace'],
  path: string,
  { layout, format }: LendOptions,
): Promise<readonly Lent[]> {
  const { items } = await checkItems([path], { layout, ...(format === undefined ? {} : { format }) });
  const lent: Lent[] = [];
  for (const item of items) {
    if (!isTarget(item)) throw item.error;
    const progress = new Progress(io, item.file);
    const source = await item.open();
    try {
      const sealed = await manager.seal(source, {
        ...trace,
        ...(item.place ?? {}),
        share: true,
        signal: io.signal,
        onProgress: ({ phase, bytes, totalBytes }) => progress.update(phase, bytes, totalBytes),
      });
      lent.push({ sealed, target: item });
    } finally {
      progress.done();
      await source.close();
    }
  }
  return lent;
}

/**
 * Verifies all shards, small neighbours in one run of the device, and heals what is damaged from its files. A failure here
 * is reported and does not end the command.
 */
async function verifyAll(
  { io, reporter }: CommandContext,
  manager: VramManager,
  trace: ManagerSession['trace'],
  shards: readonly Lent[],
): Promise<void> {
  for (const some of together(shards, MAX_TOGETHER)) {
    const verified = await Promise.allSettled(
      some.map(({ sealed }) => manager.verify(sealed, { ...trace, signal: io.signal })),
    );
    for (const [index, outcome] of verified.entries()) {
      if (io.signal.aborted) return;
      const lent = some[index];
      if (outcome.status === 'fulfilled' || lent === undefined) continue;
      const error: unknown = outcome.reason;
      reporter.report(error, lent.target.file);
      if (isVramError(error, 'DEVICE_LOST')) throw error;
      if (isVramError(error, 'INTEGRITY_VIOLATION')) await heal(reporter, manager, trace, lent);
    }
  }
}

async function heal(
  reporter: CommandContext['reporter'],
  manager: VramManager,
  trace: ManagerSession['trace'],
  { sealed, target }: Lent,
): Promise<void> {
  try {
    const source = await target.open();
    try {
      await manager.heal(sealed, source, trace);
    } finally {
      await source.close();
    }
    // Clients get an age again once the whole was verified.
    await manager.verify(sealed, trace);
  } catch (error) {
    reporter.report(error, target.file);
    if (!(error instanceof VramError)) throw error;
  }
}

function modelText(name: string, shards: readonly SealedShard[]): string {
  const bytes = shards.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const many = shards.length === 1 ? '1 shard' : `${shards.length} shards`;
  return `lent      ${escapeForTerminal(name)}  ${formatBytes(bytes)} in ${many}\n`;
}

/** Printed when clients can connect. */
function documentOf(
  manager: VramManager,
  socket: string,
  models: readonly (readonly [string, readonly SealedShard[]])[],
): string {
  return jsonDocument({
    v: 1,
    ok: true,
    device: deviceJson(manager.device, manager.status()),
    socket,
    models: models.map(([name, shards]) => ({ name, shards: shards.map((shard) => shard.toJSON()) })),
  });
}

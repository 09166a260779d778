import { type Command, Option } from 'commander';
import { VramError } from '../../base/index.js';
import type { VramManager } from '../../manager/index.js';
import { packedLength, paddingBytes, type TensorManifest } from '../../models/index.js';
import type { SealedShard } from '../../seal/index.js';
import { checkItems } from '../check-files.js';
import { checkIndexes } from '../check-indexes.js';
import { type CheckItem, type CheckTarget, isTarget } from '../check-target.js';
import type { AddCommand, CommandContext } from '../context.js';
import { deviceJson, deviceText } from '../device-report.js';
import { EXIT, type ExitCode, exitCodeOf } from '../exit-codes.js';
import { type ManagerSession, withManager } from '../manager-session.js';
import { type ModelOptions, minBytesOption, modelOptions } from '../model-options.js';
import { type DeviceOptions, deviceOptions } from '../options.js';
import { jsonDocument } from '../output.js';
import { Progress } from '../progress.js';
import { escapeForTerminal, formatBytes, formatMs, formatRate, formatSize } from '../text.js';
import { missingOperand, requireWorkerOptions } from '../worker-report.js';
import { WorkerCheck } from './check-worker.js';

interface CheckOptions extends DeviceOptions, ModelOptions {
  readonly expect?: string;
  readonly hashing: 'host' | 'device';
  readonly tensors?: boolean;
  readonly strict?: boolean;
  readonly worker?: string;
}

type ShardRow = Record<string, unknown>;

/** `check FILE...`: seals, verifies in place, reports, releases. */
export const addCheck: AddCommand = (program, context, done) => {
  minBytesOption(modelOptions(deviceOptions(program.command('check'))))
    .description('seal files into device memory, verify them in place, report, and release them')
    .argument(
      '[file...]',
      "model files, or folders that hold one model; with --worker names of the worker's models",
    )
    .option(
      '--worker <socket>',
      'have the worker on this Unix socket verify models that it holds, all or those named',
    )
    .option(
      '--expect <digest>',
      'sha256:HEX, fsverity-sha256-12:HEX, sha256-BASE64, or a file: SHA256SUMS, a model list, or a Git LFS pointer',
    )
    .addOption(
      new Option('--hashing <where>', 'device: the host only copies; needs --expect with fsverity digests')
        .choices(['host', 'device'])
        .default('host'),
    )
    .option('--tensors', 'list the tensors of each file')
    .option('--strict', 'fail where weights lie beside an index that does not name them')
    .action(async (files: string[], options: CheckOptions, command: Command) => {
      const { worker, tokenFile, trustOwner, json } = options;
      if (worker !== undefined) {
        requireWorkerOptions(command);
        await new WorkerCheck(context, { worker, tokenFile, trustOwner, json }, done).run(files);
        return;
      }
      if (files.length === 0) missingOperand(command, 'file');
      const run = new CheckRun(context, options, done);
      await run.all(files);
    });
};

/** One run of the command: the document grows as shards are checked, and is printed also when something failed. */
class CheckRun {
  readonly #context: CommandContext;
  readonly #options: CheckOptions;
  readonly #done: (code: ExitCode) => void;
  readonly #people: (text: string) => void;
  readonly #rows: ShardRow[] = [];
  #device: ReturnType<typeof deviceJson> | null = null;
  #failures = 0;
  #unlisted: readonly string[] = [];

  constructor(context: CommandContext, options: CheckOptions, done: (code: ExitCode) => void) {
    this.#context = context;
    this.#options = options;
    this.#done = done;
    this.#people = options.json ? context.io.stderr : context.io.stdout;
  }

  async all(files: readonly string[]): Promise<void> {
    const { io } = this.#context;
    let failure: unknown;
    try {
      const { items, indexes, unlisted } = await checkItems(files, this.#options);
      this.#noteUnlisted(unlisted);
      await checkIndexes(indexes, this.#context, (file, error) => this.#refuse(file, error));
      if (items.some(isTarget)) {
        await withManager(this.#context, this.#options, {}, (session) => this.#checkItems(session, items));
      } else {
        // Nothing to seal: no device is opened.
        for (const item of items) if (!isTarget(item)) this.#refuse(item.file, item.error);
      }
    } catch (error) {
      failure = error;
    }
    if (this.#options.json) {
      io.stdout(
        jsonDocument({
          v: 1,
          ok: failure === undefined && this.#failures === 0,
          device: this.#device,
          shards: this.#rows,
          unlisted: this.#unlisted,
          ...(failure === undefined ? {} : { error: this.#context.reporter.json(failure) }),
        }),
      );
    }
    if (failure !== undefined) throw failure;
  }

  /** Errors: SOURCE_MISMATCH with `--strict`. */
  #noteUnlisted(unlisted: readonly string[]): void {
    this.#unlisted = unlisted;
    for (const file of unlisted)
      this.#people(`not checked  ${escapeForTerminal(file)}: the index beside it does not name it\n`);
    if (this.#options.strict !== true || unlisted.length === 0) return;
    throw new VramError(
      'SOURCE_MISMATCH',
      `weights lie beside an index that does not name them: ${unlisted.length}, and --strict allows none`,
    );
  }

  async #checkItems({ manager, trace }: ManagerSession, items: readonly CheckItem[]): Promise<void> {
    const { io } = this.#context;
    this.#device = deviceJson(manager.device, manager.status());
    this.#people(deviceText(manager.device, manager.status()));
    let verified = 0;
    for (const item of items) {
      if (io.signal.aborted) break;
      this.#people(`\n${escapeForTerminal(item.file)}\n`);
      try {
        if (!isTarget(item)) throw item.error;
        await this.#checkOne(manager, trace, item);
        verified += 1;
        this.#done(EXIT.ok);
      } catch (error) {
        this.#refuse(item.file, error);
      }
    }
    this.#people(
      `\n${verified} of ${items.length} ${items.length === 1 ? 'shard' : 'shards'} verified in place\n`,
    );
  }

  async #checkOne(manager: VramManager, trace: ManagerSession['trace'], target: CheckTarget): Promise<void> {
    const { signal } = this.#context.io;
    const progress = new Progress(this.#context.io, target.file);
    const common = {
      ...trace,
      signal,
      onProgress: ({ phase, bytes, totalBytes }: { phase: string; bytes: number; totalBytes: number }) =>
        progress.update(phase, bytes, totalBytes),
    };
    let sealed: SealedShard | undefined;
    const source = await target.open();
    try {
      const sealing = performance.now();
      sealed = await manager.seal(source, {
        ...common,
        ...(target.place ?? {}),
        hashing: this.#options.hashing,
        ...target.expected,
      });
      const sealMs = performance.now() - sealing;
      progress.done();
      this.#people(
        `  sealed    ${formatSize(sealed.byteLength)} in ${formatMs(sealMs)} (${formatRate(sealed.byteLength, sealMs)}), ` +
          `${sealed.immutability}, shard ${sealed.shardId}\n`,
      );
      if (target.manifest !== null) this.#people(packingText(target.manifest, buffersOf(target, sealed)));
      if (target.note !== null) this.#people(`  note      ${target.note}\n`);
      const report = await manager.verify(sealed, common);
      progress.done();
      this.#people(
        `  verified  in place in ${formatMs(report.durationMs)} ` +
          `(${formatRate(sealed.byteLength, report.durationMs)}): every byte is as sealed\n` +
          `  sha256    ${sealed.sha256 ?? 'not computed'}\n` +
          `  fsverity  ${sealed.fsverity}\n`,
      );
      if (this.#options.tensors) this.#people(tensorsText(target.tensors));
      this.#rows.push(shardRow(target, sealed, sealMs, report.durationMs, this.#options.tensors === true));
    } finally {
      progress.done();
      await source.close();
      if (sealed !== undefined) {
        const { wiped } = await manager.release(sealed, trace);
        this.#people(`  released  ${wiped ? 'overwritten with zeros' : 'NOT overwritten'}\n`);
      }
    }
  }

  #refuse(file: string, error: unknown): void {
    this.#failures += 1;
    this.#rows.push({ file, error: this.#context.reporter.json(error) });
    this.#context.reporter.report(error, file);
    this.#done(exitCodeOf(error));
  }
}

export function shardRow(
  target: CheckTarget,
  sealed: SealedShard,
  sealMs: number,
  verifyMs: number,
  tensors: boolean,
): ShardRow {
  const { file, manifest } = target;
  return {
    file,
    shardId: sealed.shardId,
    byteLength: sealed.byteLength,
    sha256: sealed.sha256,
    fsverity: sealed.fsverity,
    backend: sealed.device.backend,
    residency: sealed.residency,
    immutability: sealed.immutability,
    emulated: sealed.emulated,
    sealMs,
    verifyMs,
    verified: true,
    signature: sealed.signature,
    sealedAt: sealed.sealedAt,
    ...(manifest === null
      ? {}
      : {
          layout: 'tensors',
          manifestSha256: sealed.tensors,
          files: manifest.files.map((each, index) => ({ ...each, ...sealed.source?.[index] })),
          tensorCount: manifest.tensors.length,
          buffers: buffersOf(target, sealed),
          paddingBytes: paddingBytes(manifest),
        }),
    ...(tensors ? { tensors: target.tensors } : {}),
  };
}

/** Cuts make buffers on WebGPU alone; elsewhere all tensors are one mapping. */
function buffersOf({ buffers }: CheckTarget, { device }: SealedShard): number {
  return device.backend === 'webgpu' ? buffers : 1;
}

/** Files, buffers and padding of packed tensors. */
function packingText(manifest: TensorManifest, buffers: number): string {
  const { files, tensors } = manifest;
  const padding = paddingBytes(manifest);
  const share = ((padding / packedLength(manifest)) * 100).toFixed(2);
  return (
    `  packed    ${tensors.length} tensors of ${files.length} ${files.length === 1 ? 'file' : 'files'} ` +
    `in ${buffers === 1 ? 'one buffer' : `${buffers} buffers`}, ${formatBytes(padding)} of padding (${share} %)\n`
  );
}

function tensorsText(tensors: CheckTarget['tensors']): string {
  return tensors
    .map((tensor) => {
      const { name, dtype, shape, byteLength } = tensor;
      const at = 'offset' in tensor ? tensor.offset : tensor.byteOffset;
      return `  tensor    ${escapeForTerminal(name)}  ${dtype} [${shape.join(', ')}]  ${formatSize(byteLength)} at ${at}\n`;
    })
    .join('');
}

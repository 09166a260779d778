import { type Command, Option } from 'commander';
import { counted, invalidInput, isVramError, type VerificationReport, VramError } from '../../base/index.js';
import { BLOCK_BYTES } from '../../digest/index.js';
import type {
  DrillArea,
  DrillFlip,
  DrillPattern,
  DrillReport,
  RetainedLevel,
  VramManager,
} from '../../manager/index.js';
import type { SealedShard } from '../../seal/index.js';
import type { Source } from '../../source/index.js';
import { checkItems } from '../check-files.js';
import { checkIndexes } from '../check-indexes.js';
import { type CheckTarget, isTarget } from '../check-target.js';
import type { AddCommand, CommandContext } from '../context.js';
import { deviceJson, deviceText } from '../device-report.js';
import { EXIT } from '../exit-codes.js';
import { type ManagerSession, withManager } from '../manager-session.js';
import { type ModelOptions, minBytesOption, modelOptions } from '../model-options.js';
import { type DeviceOptions, deviceOptions, parseCount } from '../options.js';
import { jsonDocument } from '../output.js';
import { Progress } from '../progress.js';
import { escapeForTerminal, formatMs, formatSize } from '../text.js';
import { missingOperand, requireWorkerOptions } from '../worker-report.js';
import { shardRow } from './check.js';
import { WorkerDrill } from './drill-worker.js';

interface DrillOptions extends DeviceOptions, ModelOptions {
  readonly flips: number;
  readonly seed?: number;
  readonly pattern: readonly DrillPattern[];
  readonly area: DrillArea;
  readonly keep: RetainedLevel;
  readonly expect?: string;
  readonly worker?: string;
}

const MAX_FLIPS = 100_000;
const PATTERNS: readonly DrillPattern[] = ['bit', 'neighbours', 'word', 'block', 'pair'];
/** Shown to people; the document has all of them. */
const SHOWN = 8;

/** `drill FILE`: check, then damage on purpose, and what becomes of it. */
export const addDrill: AddCommand = (program, context, done) => {
  minBytesOption(modelOptions(deviceOptions(program.command('drill'))))
    .description(
      'check a file, then flip bits of it in device memory and show that they are found and healed',
    )
    .argument(
      '[file]',
      "a model file of one shard; with --layout tensors any model; with --worker a worker's model",
    )
    .option(
      '--worker <socket>',
      'drill a model that the worker on this Unix socket serves; it must allow drills',
    )
    .addOption(
      new Option('--flips <n>', 'how many bits, or patterns').default(1).argParser(parseCount(1, MAX_FLIPS)),
    )
    .addOption(
      new Option('--seed <s>', 'repeats a drill; random if not given').argParser(
        parseCount(0, 999_999_999_999_999),
      ),
    )
    .addOption(
      new Option('--pattern <pattern...>', 'what to flip, in turns').choices([...PATTERNS]).default(['bit']),
    )
    .addOption(
      new Option('--area <area>', 'where: the data, the zero padding behind its last byte, or both')
        .choices(['data', 'padding', 'both'])
        .default('data'),
    )
    .addOption(
      new Option('--keep <level>', 'hashes retained on the host: all leaves, or groups alone')
        .choices(['leaves', 'groups'])
        .default('leaves'),
    )
    .option('--expect <digest>', 'as in check')
    .action(async (file: string | undefined, options: DrillOptions, command: Command) => {
      const { worker, tokenFile, trustOwner, json, flips, seed } = options;
      if (worker !== undefined) {
        requireWorkerOptions(command, ['flips', 'seed']);
        await new WorkerDrill(context, { worker, tokenFile, trustOwner, json, flips, seed }).run(file);
      } else await new DrillRun(context, options).run(file ?? missingOperand(command, 'file'));
      done(EXIT.ok);
    });
};

/** One run of the command: the document grows step by step, and is printed also when one of them fails. */
class DrillRun {
  readonly #context: CommandContext;
  readonly #options: DrillOptions;
  readonly #people: (text: string) => void;
  readonly #document: Record<string, unknown> = {
    v: 1,
    ok: false,
    device: null,
    shards: [],
    seed: null,
    flips: [],
    detected: false,
    damagedBlocks: [],
    healed: false,
    healedBlocks: [],
    reverified: false,
  };

  constructor(context: CommandContext, options: DrillOptions) {
    this.#context = context;
    this.#options = options;
    this.#people = options.json ? context.io.stderr : context.io.stdout;
  }

  async run(file: string): Promise<void> {
    try {
      const target = await this.#target(file);
      const opening = { drills: true, keep: this.#options.keep };
      await withManager(this.#context, this.#options, opening, (session) => this.#drill(session, target));
      this.#document['ok'] = true;
    } catch (error) {
      this.#document['error'] = this.#context.reporter.json(error);
      throw error;
    } finally {
      if (this.#options.json) this.#context.io.stdout(jsonDocument(this.#document));
    }
  }

  async #target(file: string): Promise<CheckTarget> {
    const { items, indexes } = await checkItems([file], this.#options);
    const [item, ...others] = items;
    if (item === undefined || others.length > 0) {
      throw invalidInput(
        'file',
        'is a model of several shards: name one of their files, or seal its tensors (--layout tensors)',
      );
    }
    if (!isTarget(item)) throw item.error;
    await checkIndexes(indexes, this.#context, (_, error) => {
      throw error;
    });
    checkPlan(this.#options, item.byteLength);
    return item;
  }

  async #drill({ manager, trace }: ManagerSession, target: CheckTarget): Promise<void> {
    this.#document['device'] = deviceJson(manager.device, manager.status());
    this.#people(`${deviceText(manager.device, manager.status())}\n${escapeForTerminal(target.file)}\n`);
    const source = await target.open();
    let sealed: SealedShard | undefined;
    try {
      sealed = await this.#check(manager, trace, target, source);
      const drilled = await this.#damage(manager, trace, sealed);
      await this.#detect(manager, trace, sealed, source, drilled);
      await this.#heal(manager, trace, sealed, source, drilled);
    } finally {
      await source.close();
      if (sealed !== undefined) {
        const { wiped } = await manager.release(sealed, trace);
        this.#people(`  released  ${wiped ? 'overwritten with zeros' : 'NOT overwritten'}\n`);
      }
    }
  }

  async #check(
    manager: VramManager,
    trace: ManagerSession['trace'],
    target: CheckTarget,
    source: Source,
  ): Promise<SealedShard> {
    const { io } = this.#context;
    const progress = new Progress(io, target.file);
    try {
      const sealing = performance.now();
      const sealed = await manager.seal(source, {
        ...trace,
        signal: io.signal,
        onProgress: ({ phase, bytes, totalBytes }) => progress.update(phase, bytes, totalBytes),
        ...target.expected,
      });
      const sealMs = performance.now() - sealing;
      const { durationMs } = await manager.verify(sealed, { ...trace, signal: io.signal });
      progress.done();
      this.#document['shards'] = [shardRow(target, sealed, sealMs, durationMs, false)];
      this.#people(
        `  sealed    ${formatSize(sealed.byteLength)} in ${formatMs(sealMs)}, ${sealed.immutability}\n` +
          `  verified  in place in ${formatMs(durationMs)}: every byte is as sealed\n`,
      );
      return sealed;
    } finally {
      progress.done();
    }
  }

  async #damage(
    manager: VramManager,
    trace: ManagerSession['trace'],
    sealed: SealedShard,
  ): Promise<DrillReport> {
    const { flips, seed, pattern, area } = this.#options;
    const drilled = await manager.drill(sealed, {
      ...trace,
      signal: this.#context.io.signal,
      flips,
      patterns: pattern,
      area,
      seed,
    });
    this.#document['seed'] = drilled.seed;
    this.#document['flips'] = drilled.flips;
    const bits = some(drilled.flips.map(flipText));
    this.#people(
      `  flipped   ${counted(drilled.flips.length, 'bit')} in ${counted(drilled.blocks.length, 'block')}, seed ` +
        `${drilled.seed}: ${bits}\n`,
    );
    return drilled;
  }

  /** Errors: INTEGRITY_VIOLATION if the damage was not found, or not exactly where it is. */
  async #detect(
    manager: VramManager,
    trace: ManagerSession['trace'],
    sealed: SealedShard,
    source: Source,
    drilled: DrillReport,
  ): Promise<void> {
    const report = await this.#failedVerification(manager, trace, sealed, source);
    if (report === null) throw new VramError('INTEGRITY_VIOLATION', 'the damage was not found');
    this.#document['detected'] = true;
    const damaged = report.damaged.flatMap(({ firstBlock, blocks }) => numbersFrom(firstBlock, blocks));
    this.#document['damagedBlocks'] = damaged;
    const named = tensorsOf(report);
    if (named.length > 0) this.#document['damagedTensors'] = named;
    this.#people(
      `  detected  in ${formatMs(report.durationMs)}; the shard is in quarantine\n` +
        `  located   ${counted(damaged.length, 'block')} of 4096 bytes: ${some(damaged.map(String))}\n` +
        tensorsText(report),
    );
    if (!report.exact || !same(damaged, drilled.blocks)) {
      throw new VramError(
        'INTEGRITY_VIOLATION',
        'the damage was found, but not exactly the blocks that were damaged were named',
      );
    }
  }

  async #failedVerification(
    manager: VramManager,
    trace: ManagerSession['trace'],
    sealed: SealedShard,
    source: Source,
  ): Promise<VerificationReport | null> {
    try {
      await manager.verify(sealed, { ...trace, source, signal: this.#context.io.signal });
      return null;
    } catch (error) {
      if (!isVramError(error, 'INTEGRITY_VIOLATION') || error.report?.damaged === undefined) throw error;
      return error.report;
    }
  }

  async #heal(
    manager: VramManager,
    trace: ManagerSession['trace'],
    sealed: SealedShard,
    source: Source,
    drilled: DrillReport,
  ): Promise<void> {
    const report = await manager.heal(sealed, source, { ...trace, signal: this.#context.io.signal });
    const healed = report.healed.flatMap(({ firstBlock, blocks }) => numbersFrom(firstBlock, blocks));
    this.#document['healedBlocks'] = healed;
    this.#document['healed'] = same(healed, drilled.blocks);
    this.#people(
      `  healed    ${counted(healed.length, 'block')} from the file in ${formatMs(report.durationMs)}; quarantine lifted\n`,
    );
    if (!same(healed, drilled.blocks)) {
      throw new VramError('INTEGRITY_VIOLATION', 'other blocks were healed than had been damaged');
    }
    const { verified, durationMs } = await manager.verify(sealed, {
      ...trace,
      signal: this.#context.io.signal,
    });
    this.#document['reverified'] = verified;
    this.#people(`  verified  in place in ${formatMs(durationMs)}: every byte is as sealed again\n`);
  }
}

/** Checks the options against a shard of that size, as far as possible before anything is sealed. */
function checkPlan({ pattern, area }: DrillOptions, byteLength: number): void {
  if (pattern.length > PATTERNS.length)
    throw invalidInput('pattern', `must be given ${PATTERNS.length} times at most`);
  if (pattern.includes('pair') && area !== 'data') {
    throw invalidInput('pattern', `has "pair", which needs --area data, not ${area}`);
  }
  if (area === 'padding' && byteLength % BLOCK_BYTES === 0) {
    throw invalidInput('area', 'is padding, but the last byte of this file ends its block: it has none');
  }
}

function flipText({ byte, bit, tensor, byteInTensor, padding }: DrillFlip): string {
  if (tensor === undefined) return `bit ${bit} of byte ${byte}`;
  const behind = padding === true ? ' (padding)' : '';
  return `bit ${bit} of byte ${byteInTensor} of ${escapeForTerminal(tensor)}${behind}`;
}

/** The tensors that the damaged blocks are of; none where the shard is not of tensors. */
function tensorsOf({ damaged }: VerificationReport): string[] {
  return [...new Set(damaged.flatMap(({ tensor }) => (tensor === undefined ? [] : [tensor])))];
}

function tensorsText(report: VerificationReport): string {
  const names = tensorsOf(report).map(escapeForTerminal);
  return names.length === 0 ? '' : `  in        ${counted(names.length, 'tensor')}: ${some(names)}\n`;
}

function numbersFrom(first: number, length: number): number[] {
  return Array.from({ length }, (_, index) => first + index);
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}

function some(texts: readonly string[]): string {
  const rest = texts.length - SHOWN;
  return texts.slice(0, SHOWN).join(', ') + (rest > 0 ? `, and ${rest} more` : '');
}

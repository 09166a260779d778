import type { ModelOutcome, WorkerStatus } from '../../api-schema/index.js';
import { VramError } from '../../base/index.js';
import type { WorkerClient } from '../../client/index.js';
import type { CommandContext } from '../context.js';
import { EXIT, type ExitCode, exitCodeOf } from '../exit-codes.js';
import { jsonDocument } from '../output.js';
import { escapeForTerminal } from '../text.js';
import { asVramError, failureAsError, type WorkerOptions, workerClient } from '../worker-client.js';
import { verifiedText, workerJson, workerText } from '../worker-report.js';

interface CheckWorkerOptions extends WorkerOptions {
  readonly json?: boolean | undefined;
}

/** `check --worker SOCKET [MODEL...]`: has a worker verify models where they lie. Nothing is sealed or released. */
export class WorkerCheck {
  readonly #context: CommandContext;
  readonly #options: CheckWorkerOptions;
  readonly #done: (code: ExitCode) => void;
  readonly #people: (text: string) => void;
  readonly #models: Record<string, unknown>[] = [];
  #worker: Record<string, unknown> | null = null;
  #failures = 0;

  constructor(context: CommandContext, options: CheckWorkerOptions, done: (code: ExitCode) => void) {
    this.#context = context;
    this.#options = options;
    this.#done = done;
    this.#people = options.json === true ? context.io.stderr : context.io.stdout;
  }

  /** No names: all models of the worker. Errors: those of the requests, after the last one. */
  async run(names: readonly string[]): Promise<void> {
    const { io, reporter } = this.#context;
    let failure: unknown;
    try {
      const client = await workerClient(this.#options, io);
      const status = await client.status({ signal: io.signal });
      this.#worker = workerJson(status);
      this.#people(workerText(status));
      await this.#checkAll(client, names.length === 0 ? namesOf(status) : names);
    } catch (error) {
      failure = asVramError(error);
    }
    if (this.#options.json === true) {
      io.stdout(
        jsonDocument({
          v: 1,
          ok: failure === undefined && this.#failures === 0,
          worker: this.#worker,
          models: this.#models,
          ...(failure === undefined ? {} : { error: reporter.json(failure) }),
        }),
      );
    }
    if (failure !== undefined) throw failure;
  }

  async #checkAll(client: WorkerClient, names: readonly string[]): Promise<void> {
    const { signal } = this.#context.io;
    let verified = 0;
    for (const name of names) {
      if (signal.aborted) break;
      this.#people(`\n${escapeForTerminal(name)}\n`);
      try {
        const outcome = await client.verify(name, { signal });
        this.#models.push({ ...outcome });
        this.#print(outcome);
        if (outcome.ok) verified += 1;
      } catch (thrown) {
        const error = asVramError(thrown);
        this.#models.push({ name, error: this.#context.reporter.json(error) });
        this.#refuse(name, error);
      }
    }
    this.#people(
      `\n${verified} of ${names.length} ${names.length === 1 ? 'model' : 'models'} verified in place\n`,
    );
  }

  #print({ name, shards }: ModelOutcome): void {
    for (const shard of shards) {
      this.#people(verifiedText(shard));
      if (shard.failure === null) this.#done(EXIT.ok);
      else this.#refuse(`${name}: ${shard.label}`, failureAsError(shard.failure));
    }
  }

  #refuse(what: string, error: unknown): void {
    this.#failures += 1;
    this.#context.reporter.report(error, what);
    this.#done(exitCodeOf(error));
  }
}

/** Errors: NOT_FOUND where there is nothing to check: that must not pass for a check. */
function namesOf({ models }: WorkerStatus): string[] {
  if (models.length === 0) throw new VramError('NOT_FOUND', 'the worker holds no model');
  return models.map(({ name }) => name);
}

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Failure, Skip } from './context.js';
import { Fields, parseDocument } from './json.js';
import { isAbsent } from './program.js';

const ANSWER_MS = 60_000;
/** Exit code of a program that finds no usable GPU. */
const NO_GPU = 3;

/** A process that a step talks to: one line to it, one line back. Its stderr goes to the step's log. */
export class LineChild {
  readonly #name: string;
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<number | string | null>;

  /** `name`: for messages. Errors are reported by the first answer(). */
  constructor(name: string, command: string, args: readonly string[]) {
    this.#name = name;
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#process = child;
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    this.#ended = new Promise((resolve, reject) => {
      child.once('close', (code, signal) => resolve(signal ?? code));
      child.once('error', (error) =>
        reject(isAbsent(error) ? new Skip(`there is no ${command} here`) : error),
      );
    });
    this.#ended.catch(() => undefined);
    // If the child has ended, the missing answer reports it.
    child.stdin.on('error', () => undefined);
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** The next line. Errors: Failure if none comes, Skip if the child finds no usable GPU or cannot be started. */
  async line(): Promise<string> {
    const limit = AbortSignal.timeout(ANSWER_MS);
    const late = new Promise<never>((_, reject) => {
      limit.onabort = () => reject(new Failure(`${this.#name} gave no answer in ${ANSWER_MS / 1000} s`));
    });
    const next = await Promise.race([this.#lines.next(), late]);
    if (next.done !== true) return next.value;
    const how = await this.#ended;
    if (how === NO_GPU) throw new Skip(`${this.#name} finds no usable GPU`);
    throw new Failure(`${this.#name} ended with ${how} where it owes an answer`);
  }

  /** The next line, which has to be a JSON object without `error`. */
  async answer(): Promise<Fields> {
    const document = parseDocument(await this.line(), this.#name);
    if (document['error'] !== undefined) throw new Failure(`${this.#name}: ${String(document['error'])}`);
    return new Fields(document, this.#name);
  }

  async order(line: string): Promise<Fields> {
    this.#process.stdin?.write(`${line}\n`);
    return await this.answer();
  }

  /** Kills the process and waits until it has ended. Safe to call twice. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#ended.catch(() => undefined);
  }
}

import { Callee, type ForeignCalls, VramError } from '../../base/index.js';
import type { SignedCheckpoint } from '../format/index.js';
import type { AuditGroup, AuditSink } from './sink.js';

/**
 * A sink with a time limit. While an abandoned call still runs the sink is not called again, so calls never overlap; new
 * groups are queued for it in order.
 */
export class BoundedSink implements AuditSink {
  readonly name: string;
  readonly #sink: AuditSink;
  readonly #callee: Callee;
  #kept: AuditGroup[] = [];

  constructor(sink: AuditSink, calls: ForeignCalls, limitMs: number) {
    this.name = sink.name;
    this.#sink = sink;
    const message = `the sink "${sink.name}" has not answered for ${limitMs} ms`;
    this.#callee = new Callee(calls, limitMs, () => new VramError('AUDIT_FAILED', message));
  }

  async append(group: AuditGroup): Promise<void> {
    this.#kept.push(group);
    await this.#handOver();
  }

  async sync(): Promise<void> {
    await this.#handOver();
    await this.#callee.call(() => this.#sink.sync());
  }

  async checkpoint(checkpoint: SignedCheckpoint): Promise<void> {
    await this.#handOver();
    await this.#callee.call(() => this.#sink.checkpoint(checkpoint));
  }

  /** A sink whose call still runs is closed once that ends, without anyone waiting. */
  async close(): Promise<void> {
    const running = this.#callee.running;
    if (running !== null) {
      void running.then(() => Promise.allSettled([this.#callee.call(() => this.#sink.close())]));
    }
    await this.#callee.call(() => this.#sink.close());
  }

  async #handOver(): Promise<void> {
    while (this.#kept.length > 0) {
      await this.#callee.call(() => {
        // From here on the sink owns the group, even if the call fails.
        const [group] = this.#kept.splice(0, 1);
        return group === undefined ? undefined : this.#sink.append(group);
      });
    }
  }
}

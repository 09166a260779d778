import { vi } from 'vitest';
import type { SignedCheckpoint } from '../../../../src/audit/format/checkpoint.js';
import { KeyRatchet } from '../../../../src/audit/format/keys.js';
import type { AuditGroup, AuditLogOptions, AuditSink } from '../../../../src/audit/index.js';
import { Chain, emptyChain } from '../../../../src/audit/write/chain.js';
import { AuditLog } from '../../../../src/audit/write/log.js';
import type { AuditLogParts } from '../../../../src/audit/write/log-options.js';
import { MemorySink } from '../../../../src/audit/write/memory-sink.js';
import type { CryptoProvider } from '../../../../src/crypto/provider.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { event, TOKEN, WORKER } from '../events.js';
import { testSigner } from '../signer.js';

export const LOG_ID = '5e'.repeat(16);

export const ORIGIN = `vram-residency/${WORKER}/${LOG_ID}`;

export const NOW = '2026-01-31T12:30:00.000Z';

export const signer = testSigner(6);

/** An error of the system, as sinks meet them. */
export const systemError = (code: string): Error => Object.assign(new Error('injected'), { code });

/** Notes what it is asked for, by the numbers of the records; any call can be made to fail. */
export class NotingSink implements AuditSink {
  readonly name = 'noting';
  readonly failing = new Map<string, Error>();
  readonly groups: AuditGroup[] = [];
  readonly #calls: string[];
  readonly #label: string;

  constructor(calls: string[] = [], label = '') {
    this.#calls = calls;
    this.#label = label;
  }

  /** What was asked for since the last time. */
  taken(): string[] {
    return this.#calls.splice(0);
  }

  async append(group: AuditGroup): Promise<void> {
    this.groups.push(group);
    await this.#call('append', `${group.firstSeq}-${group.firstSeq + group.lines.length - 1}`);
  }

  sync(): Promise<void> {
    return this.#call('sync');
  }

  checkpoint({ size }: SignedCheckpoint): Promise<void> {
    return this.#call('checkpoint', String(size));
  }

  close(): Promise<void> {
    return this.#call('close');
  }

  async #call(what: string, which = ''): Promise<void> {
    this.#calls.push(`${this.#label}${what}${which === '' ? '' : ` ${which}`}`);
    const error = this.failing.get(what);
    if (error !== undefined) throw error;
  }
}

export async function newChain(crypto: CryptoProvider = nodeCrypto) {
  const ratchet = await KeyRatchet.fromToken(crypto, TOKEN, WORKER, LOG_ID);
  return { chain: new Chain(crypto, emptyChain(crypto, WORKER, LOG_ID, ratchet)), ratchet };
}

export async function start(options: AuditLogOptions = {}, parts: Partial<AuditLogParts> = {}) {
  const sink = new NotingSink();
  const memory = new MemorySink();
  const { chain, ratchet } = await newChain();
  const log = new AuditLog(
    { crypto: nodeCrypto, chain, sinks: [sink, memory], signer, ...parts },
    { now: () => new Date(NOW), ...options },
  );
  return { log, sink, memory, chain, ratchet };
}

export const verified = () => event('seal.verified');

export const times = (count: number, tell: () => unknown): void => {
  for (let i = 0; i < count; i++) tell();
};

/** Lets everything run that waits for no timer. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

export async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await settled();
}

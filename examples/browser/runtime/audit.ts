import {
  type AuditLog,
  type AuditRecord,
  type AuditSink,
  auditFiles,
  auditObserver,
  generateSigner,
  isVramError,
  MemorySink,
  narrationObserver,
  type Observer,
  type Signer,
} from 'vram-residency/browser';
import type { RecordLine, Sentence } from '../protocol.js';
import { type TarEntry, tar } from './tar.js';

const FOLDER = 'vram-residency-audit';
const NO_ED25519 = 'this browser has no Ed25519, so the log has no signature that anybody could check';

export interface Told {
  sentence(sentence: Sentence): void;
  records(records: readonly RecordLine[]): void;
}

/** The audit log and the sentences of one model, in this worker's memory. */
export class Account {
  readonly #log: AuditLog;
  readonly #memory: MemorySink;
  readonly #signed: boolean;
  readonly observers: readonly Observer[];

  private constructor(log: AuditLog, memory: MemorySink, signed: boolean, narrator: Observer) {
    this.#log = log;
    this.#memory = memory;
    this.#signed = signed;
    this.observers = [log, narrator];
  }

  /** `token` is only read. */
  static async open(workerId: string, token: Uint8Array, told: Told): Promise<Account> {
    const memory = new MemorySink();
    const signer = await newSigner();
    const log = await auditObserver({
      sink: [memory, feed(told)],
      workerId,
      token,
      ...(signer === null ? {} : { signer }),
    });
    const narrator = narrationObserver({
      token,
      sinks: [
        {
          tell: ({ level, human, emittedAt }) => told.sentence({ level, at: emittedAt, text: human }),
        },
      ],
    });
    return new Account(log, memory, signer !== null, narrator);
  }

  /** The log's directory as it would lie on a disk, and the key that its signatures are checked with. */
  async tar(): Promise<Blob> {
    if (!this.#signed) throw new Error(NO_ED25519);
    // The checkpoint signs every record so far.
    await this.#log.head();
    const key = this.#memory.records()[0]?.data['verifierKey'];
    if (typeof key !== 'string') throw new Error(NO_ED25519);
    const entries: TarEntry[] = [
      { name: `${FOLDER}/verifier-key`, blob: new Blob([`${key}\n`]) },
      ...auditFiles(this.#memory).map(({ name, blob }) => ({ name: `${FOLDER}/log/${name}`, blob })),
    ];
    return tar(entries);
  }
}

/** Null if the browser has no Ed25519; the log then has no signature, and everything else works. */
async function newSigner(): Promise<Signer | null> {
  try {
    return await generateSigner();
  } catch (error) {
    if (isVramError(error, 'DEVICE_UNAVAILABLE')) return null;
    throw error;
  }
}

/** Shows the very lines that the log holds. */
function feed(told: Told): AuditSink {
  const decoder = new TextDecoder();
  return {
    name: 'page',
    async append({ lines }) {
      told.records(
        lines.map((line) => {
          const json = decoder.decode(line).trimEnd();
          const record = JSON.parse(json) as AuditRecord;
          return {
            seq: record.seq,
            at: record.ts,
            type: record.type,
            severity: record.severity,
            text: json,
          };
        }),
      );
    },
    async sync() {},
    async checkpoint() {},
    async close() {},
  };
}

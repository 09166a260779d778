import { Worker } from 'node:worker_threads';
import type { SegmentJob, SegmentResult } from '../../audit/index.js';
import { VramError } from '../../base/index.js';
import { nodeCrypto } from '../crypto.js';
import { fromPlain, type SegmentReply, type SegmentRequest } from './segment-message.js';

interface Pending {
  readonly resolve: (result: SegmentResult) => void;
  readonly reject: (error: unknown) => void;
}

interface Member {
  readonly worker: Worker;
  readonly pending: Map<number, Pending>;
}

/** Threads that verify segments in parallel. */
export class VerifyPool {
  readonly #members: Member[];
  #nextId = 0;

  /** `script`: the compiled worker module. */
  constructor(threads: number, script: URL) {
    this.#members = Array.from({ length: threads }, () => startMember(script));
  }

  /** Verifies the segment in `path` on the least busy thread. */
  run(path: string, job: SegmentJob): Promise<SegmentResult> {
    const member = this.#members.reduce((least, other) =>
      other.pending.size < least.pending.size ? other : least,
    );
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      member.pending.set(id, { resolve, reject });
      const request: SegmentRequest = { id, path, job };
      member.worker.postMessage(request);
      // The thread has its own copy.
      job.macKey?.fill(0);
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#members.map(({ worker }) => worker.terminate()));
  }
}

function startMember(script: URL): Member {
  const worker = new Worker(script);
  const pending = new Map<number, Pending>();
  worker.on('message', (reply: SegmentReply) => {
    const waiting = pending.get(reply.id);
    pending.delete(reply.id);
    if (waiting === undefined) return;
    if ('result' in reply) waiting.resolve(fromPlain(nodeCrypto, reply.result));
    else waiting.reject(Object.assign(new Error(reply.failure.message), { code: reply.failure.code }));
  });
  const failAll = (cause: unknown): void => {
    for (const { reject } of pending.values()) {
      reject(new VramError('AUDIT_FAILED', 'a verification thread ended early', { cause }));
    }
    pending.clear();
  };
  worker.on('error', failAll);
  worker.on('exit', failAll);
  return { worker, pending };
}

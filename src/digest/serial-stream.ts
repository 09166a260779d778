import { AnnouncedLength } from './announced-length.js';
import { hostDigest } from './host-digest.js';
import { checkRequest } from './requests.js';
import { type BlockHasher, TreeAccumulator } from './tree-accumulator.js';
import type { DigestRequest, DigestStream, HostDigest } from './types.js';

/** An incremental SHA-256 of one message. */
export interface FlatHash {
  update(bytes: Uint8Array): void;
  /** 32 bytes. */
  digest(): Uint8Array;
}

/** The hashers of a SerialStream. */
export interface SerialHashes {
  /** null where the flat digest was not requested. */
  readonly flat: FlatHash | null;
  readonly hashBlocks: BlockHasher;
  sha256(bytes: Uint8Array): Promise<Uint8Array>;
}

interface Work {
  readonly hashes: SerialHashes;
  readonly tree: TreeAccumulator;
}

/** A DigestStream that hashes in the calling thread, with the given SHA-256. */
export class SerialStream implements DigestStream {
  readonly #request: DigestRequest;
  readonly #announced: AnnouncedLength;
  #work: Promise<Work> | null;

  constructor(request: DigestRequest, open: (flat: boolean) => Promise<SerialHashes>) {
    const { byteLength, keep, sha256 } = checkRequest(request);
    this.#request = request;
    this.#announced = new AnnouncedLength(byteLength);
    this.#work = open(sha256).then((hashes) => ({
      hashes,
      tree: new TreeAccumulator(byteLength, keep, hashes.hashBlocks),
    }));
    // The call that waits for it reports the failure; an unused stream must not end the process.
    this.#work.catch(() => undefined);
  }

  async update(chunk: Uint8Array): Promise<void> {
    this.#announced.add(chunk);
    const { hashes, tree } = await this.#ready();
    hashes.flat?.update(chunk);
    tree.update(chunk);
  }

  async finish(): Promise<HostDigest> {
    this.#announced.end();
    const { hashes, tree } = await this.#ready();
    return hostDigest(this.#request.byteLength, hashes.flat?.digest() ?? null, tree.finish(), (bytes) =>
      hashes.sha256(bytes),
    );
  }

  abort(): void {
    this.#announced.abort();
    this.#work = null;
  }

  /** Calls that were not awaited continue in call order: all wait for this one promise. */
  async #ready(): Promise<Work> {
    const work = await this.#work;
    this.#announced.checkNotAborted();
    if (work === null) throw new TypeError('unreachable: a stream without work is aborted');
    return work;
  }
}

// The messages between the page and its worker. All of them can be cloned from one thread to the other.

export type ModelChoice =
  | { readonly kind: 'bundled' }
  | {
      readonly kind: 'file';
      readonly file: File;
      /** Whether it is sealed as it is, whatever its name or its first bytes say. */
      readonly plain: boolean;
    };

/** Whole blocks of 4096 bytes, counted from the first sealed block. Neighbours may share a block. */
export interface BlockRange {
  readonly firstBlock: number;
  readonly blocks: number;
}

export interface TensorPlace extends BlockRange {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly byteLength: number;
}

export interface DeviceFacts {
  readonly name: string;
  readonly residency: string;
  /** One sentence: what decided the class. */
  readonly reason: string;
  /** Why there is no GPU device, or null. */
  readonly fallback: string | null;
}

export interface ModelFacts {
  readonly name: string;
  readonly byteLength: number;
  readonly blocks: number;
  readonly fsverity: string;
  readonly immutability: string;
  readonly tensors: readonly TensorPlace[];
  /** Why no tensors are known, or null. */
  readonly tensorNote: string | null;
  /** Whether an engine can read text with it. */
  readonly reads: boolean;
  /** The part of the bundled model that stays in the graph, unsealed. */
  readonly stayingBytes: number;
}

export interface Timed {
  readonly ms: number;
  readonly bytes: number;
}

export interface Opened {
  readonly device: DeviceFacts;
  readonly model: ModelFacts;
  readonly sealed: Timed;
}

export interface Flip {
  readonly block: number;
  readonly byte: number;
  readonly bit: number;
  readonly tensor: string | null;
}

export interface Verdict extends Timed {
  readonly verified: boolean;
  readonly damaged: readonly BlockRange[];
  /** The library's description of the damage; empty if there is none. */
  readonly message: string;
  /** Bytes that came back from the device for it; null on the host device, where all of them lie in main memory. */
  readonly readbackBytes: number | null;
}

export interface Healed extends Timed {
  readonly blocks: number;
}

export interface Released extends Timed {
  /** Whether the memory was overwritten with zeros first; not possible on a lost device. */
  readonly wiped: boolean;
}

/** The same bytes, looked at in three ways. */
export interface Comparison {
  readonly inPlace: Verdict;
  readonly readBack: Verdict;
  readonly webCrypto: Timed;
}

/** Rows from the top; 0 is paper, 1 is ink. */
export interface InkPicture {
  readonly width: number;
  readonly height: number;
  readonly ink: Float32Array;
}

export interface Reading {
  /** Null where the engine's numbers are not probabilities. */
  readonly text: string | null;
  /** Of the least certain character, 0 to 1. */
  readonly confidence: number;
  readonly ms: number;
  /** Of the verification before it; null where an older one was let count. */
  readonly verifiedMs: number | null;
  readonly tensors: number;
}

/** The calls from the page to its worker. One call at a time changes the model; the worker keeps them in order. */
export interface Runtime {
  open(choice: ModelChoice): Promise<Opened>;
  verify(): Promise<Verdict>;
  flip(bits: number, seed: number | null): Promise<readonly Flip[]>;
  heal(): Promise<Healed>;
  release(): Promise<Released>;
  compare(): Promise<Comparison>;
  read(picture: InkPicture, verifyFirst: boolean): Promise<Reading>;
  auditTar(): Promise<Blob>;
  /** Nothing; that it answers says that the worker is there. */
  answer(): Promise<void>;
}

export type Method = keyof Runtime;

export interface Request {
  readonly id: number;
  readonly method: Method;
  readonly args: readonly unknown[];
}

export interface Failure {
  /** A code of the library; null for unexpected errors. */
  readonly code: string | null;
  readonly message: string;
  /** Whether the file is not the model that it calls itself: it can be sealed as plain bytes. */
  readonly broken: boolean;
  /** For a refused read: where the damage is. */
  readonly damaged: readonly BlockRange[];
}

export type Response =
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly failure: Failure };

export interface Sentence {
  readonly level: 'info' | 'warn' | 'error';
  readonly at: string;
  readonly text: string;
}

export interface RecordLine {
  readonly seq: number;
  readonly at: string;
  readonly type: string;
  readonly severity: string;
  readonly text: string;
}

/** Messages that the worker sends unrequested. */
export type Notice =
  | {
      readonly notice: 'progress';
      readonly phase: string;
      readonly bytes: number;
      readonly totalBytes: number;
    }
  | { readonly notice: 'sentence'; readonly sentence: Sentence }
  | { readonly notice: 'records'; readonly records: readonly RecordLine[] }
  | { readonly notice: 'lost'; readonly reason: string };

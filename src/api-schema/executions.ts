import type { WorkerErrorCode } from './codes.js';

/** How the elements of a tensor are written: little-endian, `bool` as one byte each. */
export type TensorType =
  | 'float32'
  | 'float16'
  | 'float64'
  | 'int8'
  | 'uint8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'uint64'
  | 'bool';

/** A tensor as JSON carries it. */
export interface TensorData {
  readonly type: TensorType;
  /** One size an axis, from 0; none for a scalar. */
  readonly dims: readonly number[];
  /** Its elements in row-major order, base64. */
  readonly data: string;
}

/** What of an OpenAI-compatible server a caller may ask for. */
export type EnginePath = '/v1/chat/completions' | '/v1/completions' | '/v1/embeddings' | '/v1/responses';

/** What every request to execute says. */
export interface ExecuteCommon {
  /** The caller's own, 1 to 128 of [A-Za-z0-9._-]: sent twice with the same request it is executed once. */
  readonly executionId: string;
  readonly model: string;
  /** Accept a verification that began at most so many milliseconds ago; 0 if absent: verify first. */
  readonly maxAgeMs?: number | undefined;
  /** From acceptance to the end; past it the execution ends with DEADLINE_UNMET. Default 600,000. */
  readonly deadlineMs?: number | undefined;
  /** Verify once more before `end`. */
  readonly recheck?: boolean | undefined;
}

/** `onnx`: the worker's own ONNX Runtime computes on the sealed buffers. */
export type OnnxExecuteRequest = ExecuteCommon & {
  readonly mode: 'onnx';
  /** By the names of the graph's inputs. */
  readonly inputs: Readonly<Record<string, TensorData>>;
};

/** `engine`: a server on the worker's host, which its configuration names, computes. */
export type EngineExecuteRequest = ExecuteCommon & {
  readonly mode: 'engine';
  readonly inputs: {
    readonly path: EnginePath;
    /** Passed on as it is. With `"stream": true` each of the server's events becomes an `output`. */
    readonly body: Readonly<Record<string, unknown>>;
  };
};

/** `POST /v1/execute`. */
export type ExecuteRequest = OnnxExecuteRequest | EngineExecuteRequest;
/** `onnx`: computed in the worker, on the sealed buffers. `engine`: passed on to a server on the same host. */
export type ExecutionMode = ExecuteRequest['mode'];

/** `ended`: its terminal event was sent. */
export type ExecutionState = 'queued' | 'running' | 'ended';

/**
 * What is known of the memory that the weights lie in. `sealed`: the execution itself read the sealed buffers. `leased`,
 * `guarded`: the engine holds a lease of the memory, or a guard watches its own; that the engine used it is not proven.
 */
export type WeightsClaim = 'sealed' | 'leased' | 'guarded';

/** The execution has its turn, and the weights were verified. */
export interface StartedData {
  /** Of the model in the worker's memory; null where a guard watches the engine's own. */
  readonly generation: number | null;
  readonly weights: WeightsClaim;
  /** Milliseconds since the verification of these weights began. */
  readonly verifiedAgeMs: number;
  /** Milliseconds from acceptance to here: the wait for its turn and for that verification. */
  readonly queuedMs: number;
}

/** Part of one output tensor; an output that is longer than one event comes in several, in order. */
export interface TensorOutputData {
  readonly name: string;
  readonly type: TensorType;
  readonly dims: readonly number[];
  /** Of `data` in the whole tensor, bytes. */
  readonly offset: number;
  /** Of the whole tensor, bytes. */
  readonly byteLength: number;
  /** Base64. */
  readonly data: string;
}

/** One event of the engine's stream, or a part of an answer that is not a stream. */
export interface EngineOutputData {
  /** The engine's own event name; null where it gave none. */
  readonly event: string | null;
  readonly text: string;
}

/** What an execution took. */
export interface MetricsData {
  /** Milliseconds from acceptance to `started`. */
  readonly queuedMs: number;
  /** Milliseconds from `started` to the success of the run, what follows the last output included. */
  readonly runMs: number;
  /** Number of `output` events. */
  readonly outputs: number;
  /** Bytes of their data: of its base64 text for tensors, of its JSON for an engine's events. */
  readonly outputBytes: number;
}

/** What the engine did with the sealed buffers, counted on the device. */
export interface WitnessView {
  readonly sealedTensors: number;
  readonly tensors: number;
  /** Bindings of sealed tensors, counted for each dispatch; `readOnly` of them all, or the run is refused. */
  readonly binds: number;
  readonly readOnly: number;
  readonly readWrite: number;
  readonly copies: number;
}

/** A shard that was verified for an execution. */
export interface VerifiedShard {
  readonly shardId: string;
  /** What its resident bytes hashed to. */
  readonly fsverity: string;
  readonly durationMs: number;
}

/** The end of an execution that succeeded. */
export interface EndData {
  readonly weights: WeightsClaim;
  /** As in `started`. */
  readonly verifiedAgeMs: number;
  /** Verifications made for this execution; none where `maxAgeMs` accepted earlier ones, or where a guard makes them. */
  readonly verified: readonly VerifiedShard[];
  /** null where the engine is another process. */
  readonly witness: WitnessView | null;
}

/** The end of an execution that did not. */
export interface ErrorData {
  readonly code: WorkerErrorCode;
  readonly detail: string;
  readonly retriable: boolean;
}

/**
 * `started`, any number of `output`, `metrics`, then exactly one `end` or `error`: which may come at any time, and is the
 * last.
 */
export type ExecutionEvent = {
  /** Counts up from 1 in each execution. */
  readonly id: number;
  /** RFC 3339. */
  readonly at: string;
} & (
  | { readonly type: 'started'; readonly data: StartedData }
  | { readonly type: 'output'; readonly data: TensorOutputData | EngineOutputData }
  | { readonly type: 'metrics'; readonly data: MetricsData }
  | { readonly type: 'end'; readonly data: EndData }
  | { readonly type: 'error'; readonly data: ErrorData }
);

/** The one event that ends an execution. */
export type TerminalEvent = Extract<ExecutionEvent, { readonly type: 'end' | 'error' }>;

/** `POST /v1/execute` (202), `GET /v1/executions/{id}` and `POST /v1/executions/{id}/cancel` answer with it. */
export interface ExecutionView {
  readonly executionId: string;
  readonly instance: string;
  readonly mode: ExecutionMode;
  readonly model: string;
  readonly state: ExecutionState;
  /** RFC 3339. */
  readonly acceptedAt: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  /** null before it started. */
  readonly weights: WeightsClaim | null;
  /** null until it has ended; then always there, however long ago. */
  readonly terminal: TerminalEvent | null;
  readonly lastEventId: number;
  /** Where its events are: `/v1/executions/{id}/events`, from the first one on, or behind Last-Event-ID. */
  readonly events: string;
}

import type { EngineExecuteRequest, ExecuteRequest, OnnxExecuteRequest } from '../../api-schema/index.js';
import { type Clock, invalidInput } from '../../base/index.js';
import type { VramManager } from '../../manager/index.js';
import {
  type EngineEndpoint,
  type LeaseHolders,
  type Prepared,
  runGuarded,
  runLeased,
  runOnnx,
} from '../executions/index.js';
import type { GuardBook } from '../guards/index.js';
import type { Generation, ModelTable, ShardWatch } from '../models/index.js';
import type { OnnxHost } from '../onnx/index.js';

/** The engine in this process takes one run at a time. */
const ONNX_AT_ONCE = 1;

export interface ComputingOptions {
  readonly manager: VramManager;
  readonly watch: ShardWatch;
  readonly table: ModelTable;
  /** null if the worker was started without it. */
  readonly onnx: OnnxHost | null;
  readonly engines: readonly EngineEndpoint[];
  readonly holders: LeaseHolders;
  readonly guards: GuardBook;
  readonly clock: Clock;
}

/** Finds the engine for a request: the one in this process, or a configured one. */
export class Computing {
  readonly #options: ComputingOptions;

  constructor(options: ComputingOptions) {
    this.#options = options;
  }

  /** Errors: NOT_FOUND, STOPPED while the model is being loaded, INVALID_INPUT where no engine can carry out the request. */
  prepare(request: ExecuteRequest): Prepared {
    return request.mode === 'onnx' ? this.#onnx(request) : this.#engine(request);
  }

  #onnx(request: OnnxExecuteRequest): Prepared {
    const { table, onnx: host } = this.#options;
    if (host === null) {
      throw invalidInput(
        'mode',
        'can be "onnx" only if the worker was started with --onnx, which needs onnxruntime-web',
      );
    }
    const generation = table.serving(request.model);
    const { onnx: model } = generation;
    if (model === null) {
      throw invalidInput('model', 'is not an ONNX model that was committed with the layout "tensors"');
    }
    host.check(model, request.inputs);
    return {
      atOnce: ONNX_AT_ONCE,
      run: async (execution) => {
        // The generation that serves at the request's turn.
        const now = table.serving(request.model);
        return await now.use(async () => {
          const { onnx } = now;
          if (onnx === null) throw invalidInput('model', 'was replaced by one that cannot be executed here');
          const about = { generation: now, ageMs: () => this.#ageMs(now) };
          return await runOnnx(execution, request, host, onnx, about);
        });
      },
    };
  }

  #engine(request: EngineExecuteRequest): Prepared {
    const { table, engines, manager, holders, guards } = this.#options;
    const endpoint = engines.find(({ model }) => model === request.model);
    if (endpoint === undefined) {
      throw invalidInput('model', "has no engine in this worker's configuration");
    }
    const { atOnce } = endpoint;
    if (endpoint.weights === 'guarded') {
      return { atOnce, run: (execution) => runGuarded(execution, request, endpoint, guards) };
    }
    table.serving(request.model);
    return {
      atOnce,
      run: async (execution) => {
        const generation = table.serving(request.model);
        const leased = { manager, holders, generation, ageMs: () => this.#ageMs(generation) };
        return await generation.use(() => runLeased(execution, request, endpoint, leased));
      },
    };
  }

  /** Milliseconds since the least recent verification of a shard began. */
  #ageMs({ shards }: Generation): number {
    const { watch, clock } = this.#options;
    const began = shards.map(({ sealed }) =>
      Date.parse(watch.of(sealed.sealId).lastVerifiedAt ?? sealed.sealedAt),
    );
    return Math.max(0, clock.now() - Math.min(...began));
  }
}

import type {
  EndData,
  EngineExecuteRequest,
  EngineOutputData,
  VerifiedShard,
} from '../../api-schema/index.js';
import { VramError } from '../../base/index.js';
import type { VramManager } from '../../manager/index.js';
import type { GuardBook } from '../guards/index.js';
import type { Generation } from '../models/index.js';
import type { Execution } from './execution.js';
import { overLeases } from './over-leases.js';
import { callEngine, type EngineAddress, listenerAmong } from './relay/index.js';

/** An engine on this host, as the configuration names it. */
export interface EngineEndpoint {
  readonly model: string;
  readonly address: EngineAddress;
  /** How its weights are verified: by a lease that it holds, or by a guard in its process. */
  readonly weights: 'leased' | 'guarded';
  /** The most requests that it gets at one time. */
  readonly atOnce: number;
}

/** Returns the processes that hold a lease of a generation. */
export type LeaseHolders = (generation: Generation) => readonly number[];

interface LeasedRun {
  readonly manager: VramManager;
  readonly holders: LeaseHolders;
  readonly generation: Generation;
  /** Milliseconds since the least recent verification of a shard began. */
  readonly ageMs: () => number;
}

/** Relays to an engine that holds a lease of the model, whose memory is verified first. */
export async function runLeased(
  execution: Execution,
  request: EngineExecuteRequest,
  endpoint: EngineEndpoint,
  { manager, holders, generation, ageMs }: LeasedRun,
): Promise<EndData> {
  const { maxAgeMs, recheck } = request;
  const shards = generation.shards.map(({ sealed }) => sealed);
  const options = { maxAgeMs, recheck, signal: execution.signal };
  const work = async (verified: readonly VerifiedShard[], revoked: AbortSignal): Promise<EndData> => {
    await requireListener(holders(generation), endpoint.address, 'holds a lease of the model');
    const verifiedAgeMs = ageMs();
    if (execution.start({ generation: generation.number, weights: 'leased', verifiedAgeMs })) {
      await relay(execution, request, endpoint.address, AbortSignal.any([execution.signal, revoked]));
    }
    return { weights: 'leased', verifiedAgeMs, verified, witness: null };
  };
  return await overLeases(manager, shards, options, work);
}

/**
 * Relays to an engine whose guard found its weights intact, at most `maxAgeMs` ago: the worker cannot verify them
 * itself.
 */
export async function runGuarded(
  execution: Execution,
  request: EngineExecuteRequest,
  endpoint: EngineEndpoint,
  guards: GuardBook,
): Promise<EndData> {
  const words = await guards.wordsOn(endpoint.model);
  const holders = words.map(({ pid }) => pid);
  const pid = await requireListener(holders, endpoint.address, 'has registered a guard of the model');
  const word = words.find((one) => one.pid === pid);
  const verifiedAgeMs = word?.ageMs ?? Number.POSITIVE_INFINITY;
  if (word?.outcome === 'damaged') {
    throw new VramError('INTEGRITY_VIOLATION', "the guard's latest report is that the weights are damaged");
  }
  if (word?.outcome !== 'clean' || verifiedAgeMs > (request.maxAgeMs ?? 0)) {
    throw new VramError(
      'DEVICE_UNAVAILABLE',
      'the guard has not reported intact weights within maxAgeMs: have it verify them, or accept an older report',
    );
  }
  if (execution.start({ generation: null, weights: 'guarded', verifiedAgeMs })) {
    await relay(execution, request, endpoint.address, execution.signal);
  }
  return { weights: 'guarded', verifiedAgeMs, verified: [], witness: null };
}

async function relay(
  execution: Execution,
  { inputs }: EngineExecuteRequest,
  address: EngineAddress,
  signal: AbortSignal,
): Promise<void> {
  const onOutput = (output: EngineOutputData): void =>
    execution.output(output, Buffer.byteLength(JSON.stringify(output)));
  await callEngine({ address, inputs, signal, onOutput });
}

/** Errors: DEVICE_UNAVAILABLE where an unknown process listens there. */
async function requireListener(
  pids: readonly number[],
  address: EngineAddress,
  what: string,
): Promise<number> {
  const pid = await listenerAmong(pids, address);
  if (pid !== null) return pid;
  throw new VramError('DEVICE_UNAVAILABLE', `no process that ${what} listens at the engine's address`);
}

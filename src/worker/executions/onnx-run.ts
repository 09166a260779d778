import type { EndData, OnnxExecuteRequest } from '../../api-schema/index.js';
import type { Generation } from '../models/index.js';
import type { OnnxHost, OnnxModel } from '../onnx/index.js';
import type { Execution } from './execution.js';
import { verifiedShard } from './over-leases.js';

/** Computes on the sealed buffers in this process. */
export async function runOnnx(
  execution: Execution,
  { inputs, maxAgeMs, recheck }: OnnxExecuteRequest,
  host: OnnxHost,
  model: OnnxModel,
  about: { readonly generation: Generation; readonly ageMs: () => number },
): Promise<EndData> {
  let verifiedAgeMs = 0;
  const { report, witness } = await host.run(model, {
    inputs,
    // A cancelled execution ends at once, but the engine's run cannot be stopped: the lease lasts until it is done.
    options: { maxAgeMs, recheck, signal: execution.signal },
    onVerified: () => {
      verifiedAgeMs = about.ageMs();
      execution.start({ generation: about.generation.number, weights: 'sealed', verifiedAgeMs });
    },
    onOutput: (part) => execution.output(part, part.data.length),
  });
  const { sealedTensors, tensors, binds, readOnly, readWrite, copies } = witness;
  return {
    weights: 'sealed',
    verifiedAgeMs,
    verified: verifiedShard(model.sealed.shard, report),
    witness: { sealedTensors, tensors, binds, readOnly, readWrite, copies },
  };
}

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gpuDeviceOf, hostBackend } from '../../../../src/device/index.js';
import type { Engine, EngineSession } from '../../../../src/engines/index.js';
import { bytesSource, isVramError, type VramError, VramManager } from '../../../../src/index.js';
import {
  createSession,
  type OnnxSession,
  run,
  type SealedOnnx,
  sealOnnx,
} from '../../../../src/onnxruntime.js';
import { operatorModels, quantizedBlock } from '../../../support/engine-models.js';
import {
  type EngineBench,
  engineBench,
  floats,
  onCpu,
  ort,
  relativeError,
  values,
} from '../../../support/onnxruntime.js';
import { copyOf, strayWrite } from '../../../support/stray-write.js';
import { prepareVulkan } from '../../../support/vulkan.js';

const { adapter } = await prepareVulkan();
const MODEL = quantizedBlock();
const feeds = { x: floats([4, 128]) };

type RunArguments = Parameters<EngineSession<ort.Tensor>['run']>;
type Session = OnnxSession<ort.Tensor>;

async function errorOf(promise: Promise<unknown>): Promise<VramError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isVramError(error)) throw new Error('no VramError', { cause: error });
  return error;
}

type EngineRun = (
  made: EngineSession<ort.Tensor>,
  given: RunArguments[0],
) => ReturnType<EngineSession<ort.Tensor>['run']>;

/** The engine, whose sessions are run in another way; `device` is what it was given. */
function engineWith(
  runIt: EngineRun,
  device: (given: GPUDevice) => void = () => undefined,
): Engine<ort.Tensor> {
  const whole: Engine<ort.Tensor> = ort;
  const create: typeof whole.InferenceSession.create = async (model, options) => {
    for (const provider of options.executionProviders) device(provider.device);
    const made = await whole.InferenceSession.create(model, options);
    const { inputNames, outputNames } = made;
    return {
      inputNames,
      outputNames,
      run: (given) => runIt(made, given),
      release: () => made.release(),
    };
  };
  return { InferenceSession: { create }, Tensor: ort.Tensor };
}

/** The engine, with something done to what its sessions are run with. */
function tampered(change: (feeds: RunArguments[0]) => RunArguments[0]): Engine<ort.Tensor> {
  return engineWith(async (made, given) => await made.run(change(given)));
}

describe.skipIf(adapter === 'host')(
  'an engine over sealed weights (skipped without a WebGPU adapter)',
  () => {
    let bench: EngineBench;
    let sealed: SealedOnnx;
    let session: Session;
    let gpu: GPUDevice;
    let expected: Float32Array;

    const outputOf = async (of: Session, options = {}): Promise<Float32Array> =>
      values((await run(of, feeds, options)).outputs['y']);

    /** The sealed buffer of a tensor, as an intruder might hold it. */
    const bufferOf = async (name: string): Promise<GPUBuffer> =>
      await bench.manager.execute(sealed.shard, (lease) => lease.buffer(name), { maxAgeMs: 1e9 });

    beforeAll(async () => {
      expected = values((await onCpu(MODEL, feeds))['y']);
      bench = await engineBench();
      const found = gpuDeviceOf(bench.device);
      if (found === null) throw new Error('no GPU device');
      gpu = found;
      sealed = await sealOnnx(bench.manager, bytesSource(MODEL, 'block.onnx'));
      session = await createSession(ort, sealed, { device: bench.device });
    }, 240_000);

    afterAll(async () => {
      await session?.release();
      await bench?.close();
    });

    it('seals each weight as a buffer of its own, and keeps the rest', () => {
      expect(sealed.moved.map(({ name }) => name).sort()).toEqual(
        sealed.manifest.tensors.map(({ name }) => name).sort(),
      );
      expect(sealed.shard.manifest).toEqual(sealed.manifest);
      expect([sealed.movedBytes, sealed.stayingBytes, sealed.note]).toEqual([22_656, 0, null]);
      expect([session.inputNames, session.outputNames]).toEqual([['x'], ['y']]);
    });

    it('[EN-001] computes on the sealed bytes: all of them bound read-only, none copied', {
      timeout: 120_000,
    }, async () => {
      const { outputs, report, witness } = await run(session, feeds);
      expect(relativeError(values(outputs['y']), expected)).toBeLessThan(1e-5);
      expect(report).toMatchObject({ verified: true, shardId: sealed.shard.shardId });
      expect(witness).toMatchObject({ readWrite: 0, unknown: 0, copies: 0, tensors: 9, sealedTensors: 9 });
      expect(witness.binds).toBeGreaterThanOrEqual(9);
      expect(witness.readOnly).toBe(witness.binds);
      expect((await run(session, feeds, { maxAgeMs: 1e9 })).report).toBeNull();
    });

    it('[EN-004] reads resident bytes: a flipped exponent changes the output, is refused by name, and heals', {
      timeout: 240_000,
    }, async () => {
      const before = await outputOf(session);
      const buffer = await bufferOf('a.scales');
      await strayWrite(gpu, buffer, 3, 0x08);
      // What a run without a verification gives: the engine read the damage.
      const damaged = await outputOf(session, { maxAgeMs: 1e9 });
      expect(relativeError(damaged, before)).toBeGreaterThan(0.01);
      const error = await errorOf(run(session, feeds));
      expect(error.code).toBe('INTEGRITY_VIOLATION');
      expect(error.report?.damaged?.map(({ tensor }) => tensor)).toEqual(['a.scales']);
      expect((await errorOf(run(session, feeds, { maxAgeMs: 1e9 }))).code).toBe('INTEGRITY_VIOLATION');
      await bench.manager.heal(sealed.shard, sealed.source);
      expect(await outputOf(session)).toEqual(before);
    });

    it('serves two sessions over one shard, and a session over another model, turn by turn', {
      timeout: 240_000,
    }, async () => {
      const [gemm] = operatorModels().filter(({ operator }) => operator === 'Gemm');
      if (gemm === undefined) throw new Error('no model of Gemm');
      const rows = { x: floats([4, 16]) };
      const product = values((await onCpu(gemm.model, rows))['y']);
      const again = await createSession(ort, sealed, { device: bench.device });
      const model = await sealOnnx(bench.manager, bytesSource(gemm.model, 'gemm.onnx'));
      const other = await createSession(ort, model, { device: bench.device });
      const results = await Promise.all([
        run(session, feeds),
        run(other, rows),
        run(again, feeds),
        run(other, rows),
        run(session, feeds),
      ]);
      for (const [place, { outputs, witness }] of results.entries()) {
        const isOther = place % 2 === 1;
        expect(relativeError(values(outputs['y']), isOther ? product : expected)).toBeLessThan(1e-5);
        expect([witness.tensors, witness.sealedTensors]).toEqual(isOther ? [2, 2] : [9, 9]);
      }
      await Promise.all([again.release(), other.release()]);
      await bench.manager.release(model.shard);
      expect(relativeError(await outputOf(session), expected)).toBeLessThan(1e-5);
    });

    it('[EN-001] refuses an engine that was fed copies, and its session from then on', {
      timeout: 240_000,
    }, async () => {
      const copies = tampered((given) =>
        Object.fromEntries(
          Object.entries(given).map(([name, tensor]) => {
            const { manifest } = sealed;
            const entry = manifest.tensors.find((each) => each.name === name);
            if (entry === undefined) return [name, tensor];
            const bytes = MODEL.subarray(entry.fileOffset, entry.fileOffset + entry.byteLength);
            const dataType = tensor.type === 'uint8' ? 'uint8' : 'float32';
            return [name, ort.Tensor.fromGpuBuffer(copyOf(gpu, bytes), { dataType, dims: [...tensor.dims] })];
          }),
        ),
      );
      const fed = await createSession(copies, sealed, { device: bench.device });
      const error = await errorOf(run(fed, feeds));
      expect([error.code, error.kind, error.scope]).toEqual(['WITNESS_FAILED', 'fatal', 'shard']);
      expect(error.message).toMatch(/^the engine did not read 9 of 9 sealed weights where they lie/);
      expect((await errorOf(run(fed, feeds))).code).toBe('WITNESS_FAILED');
      await fed.release();
      expect((await errorOf(run(fed, feeds))).code).toBe('NOT_FOUND');
    });

    it('[EN-001] names the one weight for which another buffer was read', { timeout: 240_000 }, async () => {
      const swapped = tampered((given) => ({
        ...given,
        'b.scales': ort.Tensor.fromGpuBuffer(copyOf(gpu, new Uint8Array(512)), {
          dataType: 'float32',
          dims: [128],
        }),
      }));
      const fed = await createSession(swapped, sealed, { device: bench.device });
      const error = await errorOf(run(fed, feeds));
      expect(error.message).toMatch(
        /^the engine did not read 1 of 9 sealed weights where they lie, "b\.scales"/,
      );
      await fed.release();
    });

    it('[EN-002] refuses a binding through an automatic layout', { timeout: 240_000 }, async () => {
      let device: GPUDevice | undefined;
      const curious = engineWith(
        async (made, given) => {
          const buffer = given['a.scales']?.gpuBuffer;
          // Through the engine's own device, whose automatic layouts say nothing of what a shader may do.
          if (device !== undefined && buffer !== undefined) await strayWrite(device, buffer, 3, 0x08);
          return await made.run(given);
        },
        (given) => {
          device = given;
        },
      );
      const before = await outputOf(session);
      const fed = await createSession(curious, sealed, { device: bench.device });
      const error = await errorOf(run(fed, feeds));
      expect(error.code).toBe('WITNESS_FAILED');
      expect(error.message).toMatch(
        /bound the sealed weight "a\.scales" through a layout that it did not declare/,
      );
      await fed.release();
      // The write did not reach the device.
      expect(await outputOf(session)).toEqual(before);
    });

    it('[EN-004] gives no result after an abort, before the engine runs or while it does, and goes on', {
      timeout: 240_000,
    }, async () => {
      const early = new AbortController();
      const refused = run(session, feeds, { signal: early.signal });
      early.abort();
      expect((await errorOf(refused)).code).toBe('ABORTED');

      const late = new AbortController();
      let finished = 0;
      const slow = engineWith(async (made, given) => {
        const running = made.run(given);
        late.abort();
        const outputs = await running;
        finished += 1;
        return outputs;
      });
      const other = await createSession(slow, sealed, { device: bench.device });
      const aborted = run(other, feeds, { signal: late.signal });
      expect((await errorOf(aborted)).code).toBe('ABORTED');
      // The engine cannot be stopped: the run waited for it, so that the lease outlived its last command.
      expect(finished).toBe(1);
      expect(relativeError(await outputOf(other), expected)).toBeLessThan(1e-5);
      await other.release();
    });

    it('[EN-004] ends a session with its release, once, and what waits for it', {
      timeout: 240_000,
    }, async () => {
      const other = await createSession(ort, sealed, { device: bench.device });
      const [first, last] = await Promise.allSettled([run(other, feeds), other.release(), other.release()]);
      expect(last?.status).toBe('fulfilled');
      expect(first).toMatchObject({ status: 'rejected', reason: { code: 'NOT_FOUND' } });
      expect((await errorOf(run(other, feeds))).code).toBe('NOT_FOUND');
      expect(relativeError(await outputOf(session), expected)).toBeLessThan(1e-5);
    });

    it('[EN-005] leaves no global behind', () => {
      expect(Object.keys(globalThis).filter((name) => name.startsWith('GPU'))).toEqual([]);
      expect('GPUDevice' in globalThis).toBe(false);
    });

    it('[EN-004] refuses a run over a buffer that was destroyed', { timeout: 240_000 }, async () => {
      const model = await sealOnnx(bench.manager, bytesSource(MODEL, 'short-lived.onnx'));
      const brief = await createSession(ort, model, { device: bench.device });
      await bench.manager.execute(model.shard, (lease) => lease.buffer('a.scales').destroy());
      const error = await errorOf(run(brief, feeds, { maxAgeMs: 1e9 }));
      expect(error.code).toBe('DEVICE_UNAVAILABLE');
      expect(error.message).toMatch(/^the device refused commands of the engine \d+ times/);
      await brief.release();
      expect((await errorOf(bench.manager.release(model.shard))).code).toBe('RELEASE_FAILED');
    });

    it('needs a GPU device', async () => {
      const device = await hostBackend().open(0);
      const manager = await VramManager.open({ device, policy: 'any', workerId: 'host' });
      const onHost = await errorOf(sealOnnx(manager, bytesSource(MODEL, 'block.onnx')));
      expect(onHost.message).toBe(
        '"manager" holds its shards on host: an engine needs a GPU device, opened through WebGPU',
      );
      const error = await errorOf(createSession(ort, sealed, { device }));
      expect(error.message).toBe('"device" is host: an engine needs a GPU device');
      await manager.close();
      await device.close();
    });
  },
);

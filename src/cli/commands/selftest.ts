import { randomFillSync } from 'node:crypto';
import { Option } from 'commander';
import { VramError } from '../../base/index.js';
import type { DeviceInfo } from '../../device/index.js';
import type { Observer, OperationEvent, StageName } from '../../events/index.js';
import { probeReadOnlyStore } from '../../node/index.js';
import { streamSource } from '../../source/index.js';
import type { AddCommand } from '../context.js';
import { deviceJson, deviceText } from '../device-report.js';
import { EXIT } from '../exit-codes.js';
import { type ManagerSession, withManager } from '../manager-session.js';
import { type DeviceOptions, deviceOptions, parseBytes } from '../options.js';
import { jsonDocument } from '../output.js';
import { formatBytes, formatMs, formatRate } from '../text.js';

interface SelftestOptions extends DeviceOptions {
  readonly size?: number;
}

interface Throughput {
  readonly byteLength: number;
  readonly copyMs: number;
  readonly verifyMs: number;
  readonly readbackMs: number;
}

interface ReadOnlyProbe {
  readonly immutability: string;
  readonly outcome: 'faulted' | 'stored' | 'ignored' | 'unprotected' | 'not-applicable';
  readonly detail: string;
}

const MIB = 1024 * 1024;
/** Enough to be measured; software devices hash some megabytes a second. */
const SIZE = { hardware: 256 * MIB, software: 4 * MIB, emulated: MIB } as const;

/** `selftest`: known answers, the read-only probe, throughput: what to run first on new hardware. */
export const addSelftest: AddCommand = (program, context, done) => {
  deviceOptions(program.command('selftest'))
    .description('prove known answers on a device, try to write sealed memory, and measure')
    .addOption(new Option('--size <bytes>', 'bytes to measure with').argParser(parseBytes))
    .action(async (options: SelftestOptions) => {
      const { io } = context;
      const people = options.json ? io.stderr : io.stdout;
      const document: Record<string, unknown> = { v: 1, ok: false, device: null };
      const stages = new StageTimes();
      try {
        await withManager(context, options, { observers: [stages] }, async (session) => {
          const info = session.manager.device;
          const status = session.manager.status();
          document['device'] = { ...deviceJson(info, status), totalBytes: info.facts.totalBytes };
          people(deviceText(info, status));
          // Opening proved them: a device that answers wrong does not open.
          document['knownAnswers'] = 'passed';
          people('known answers  passed: every root as it should be, and another one for one changed bit\n');
          const byteLength = options.size ?? SIZE[info.execution];
          const { throughput, immutability } = await measure(session, stages, byteLength, io.signal);
          document['throughput'] = throughput;
          people(throughputText(throughput));
          const probe = await probeReadOnly(info, immutability);
          document['readOnlyProbe'] = probe;
          people(`read-only      ${immutability}: ${probe.detail}\n`);
          if (probe.outcome === 'stored') {
            throw new VramError(
              'DEVICE_UNAVAILABLE',
              'a store to sealed memory was carried out: it is not read-only',
            );
          }
        });
        document['ok'] = true;
        done(EXIT.ok);
      } catch (error) {
        document['error'] = context.reporter.json(error);
        throw error;
      } finally {
        if (options.json) io.stdout(jsonDocument(document));
      }
    });
};

/** How long the parts of operations took, by the manager's own clock. */
class StageTimes implements Observer {
  readonly name = 'stage-times';
  readonly required = false;
  readonly #latest = new Map<StageName, number>();

  on(event: OperationEvent): void {
    if (event.type === 'operation.stage') this.#latest.set(event.stage, event.durationMs ?? 0);
  }

  of(stage: StageName): number {
    return this.#latest.get(stage) ?? 0;
  }
}

/** Seals random bytes, verifies them in place, brings them back: the manager compares all three. */
async function measure(
  { manager, trace }: ManagerSession,
  stages: StageTimes,
  byteLength: number,
  signal: AbortSignal,
): Promise<{ throughput: Throughput; immutability: string }> {
  const source = streamSource(randomChunks(byteLength), byteLength, 'random');
  const shard = await manager.seal(source, { ...trace, digests: ['fsverity'], signal });
  try {
    const copyMs = stages.of('upload');
    const { durationMs: verifyMs } = await manager.verify(shard, { ...trace, signal });
    const readback = await manager.verify(shard, { ...trace, mode: 'readback', signal });
    return {
      throughput: { byteLength, copyMs, verifyMs, readbackMs: readback.durationMs },
      immutability: shard.immutability,
    };
  } finally {
    await manager.release(shard, trace);
  }
}

function* randomChunks(byteLength: number): Generator<Uint8Array> {
  const chunk = randomFillSync(new Uint8Array(Math.min(byteLength, MIB)));
  for (let left = byteLength; left > 0; left -= chunk.length) yield chunk.subarray(0, left);
}

async function probeReadOnly(info: DeviceInfo, immutability: string): Promise<ReadOnlyProbe> {
  if (info.backend === 'cuda') {
    const { outcome, detail } = await probeReadOnlyStore(info.index);
    return { immutability, outcome, detail: `${outcome}: ${detail}` };
  }
  const detail =
    info.backend === 'webgpu'
      ? 'sealed buffers have STORAGE usage alone, so WebGPU itself refuses every copy and mapping'
      : 'nothing but this library keeps host memory from being written';
  return { immutability, outcome: 'not-applicable', detail };
}

function throughputText({ byteLength, copyMs, verifyMs, readbackMs }: Throughput): string {
  const row = (name: string, ms: number): string =>
    `${name.padEnd(15)}${formatRate(byteLength, ms)} (${formatBytes(byteLength)} in ${formatMs(ms)})\n`;
  return row('copy in', copyMs) + row('verify', verifyMs) + row('read back', readbackMs);
}

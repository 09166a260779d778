import { randomFillSync } from 'node:crypto';
import { Option } from 'commander';
import { deviceId, selectDevice } from '../../../device/index.js';
import type { Device, DeviceInfo } from '../../../device/types.js';
import { fsverityDigest } from '../../../digest/index.js';
import type { DigestEngine } from '../../../digest/types.js';
import { throwIfAborted, VramError } from '../../../errors.js';
import { classify, decide, policyViolation } from '../../../policy/index.js';
import { probeReadOnlyStore } from '../../cuda/index.js';
import type { AddCommand, CliContext } from '../context.js';
import { EXIT } from '../exit-codes.js';
import { jsonOption, POLICIES, type PolicyName, parseBytes, parseDevice } from '../options.js';
import { errorJson, jsonDocument } from '../output.js';
import { residencyInWords } from '../residency.js';
import { escapeForTerminal, formatBytes, formatMs, formatRate } from '../text.js';

interface SelftestOptions {
  readonly device: string;
  readonly policy: PolicyName;
  readonly size?: number;
  readonly json?: boolean;
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
  jsonOption(program.command('selftest'))
    .description('prove known answers on a device, try to write sealed memory, and measure')
    .addOption(
      new Option('--device <device>', 'auto, cuda:N, webgpu:N or host')
        .default('auto')
        .argParser(parseDevice),
    )
    .addOption(
      new Option('--policy <policy>', 'where weights may live').choices([...POLICIES]).default('any'),
    )
    .addOption(new Option('--size <bytes>', 'bytes to measure with').argParser(parseBytes))
    .action(async (options: SelftestOptions) => {
      const { io } = context;
      const people = options.json ? io.stderr : io.stdout;
      let device: Device | undefined;
      const document: Record<string, unknown> = { v: 1, ok: false, device: null };
      const engine = context.engine();
      try {
        device = await openDevice(context, options);
        document['device'] = describe(device.info);
        people(deviceText(device.info));
        // Opening proved them: a device that answers wrong does not open.
        document['knownAnswers'] = 'passed';
        people('known answers  passed: every root as it should be, and another one for one changed bit\n');
        const { throughput, immutability } = await measure(device, engine, options.size, io.signal);
        document['throughput'] = throughput;
        people(throughputText(throughput));
        const probe = await probeReadOnly(device.info, immutability);
        document['readOnlyProbe'] = probe;
        people(`read-only      ${immutability}: ${probe.detail}\n`);
        if (probe.outcome === 'stored') {
          throw new VramError(
            'DEVICE_UNAVAILABLE',
            'a store to sealed memory was carried out: it is not read-only',
          );
        }
        document['ok'] = true;
        done(EXIT.ok);
      } catch (error) {
        document['error'] = errorJson(error);
        throw error;
      } finally {
        await device?.close();
        await engine.close();
        if (options.json) io.stdout(jsonDocument(document));
      }
    });
};

async function openDevice({ io, backends }: CliContext, options: SelftestOptions): Promise<Device> {
  const device = await selectDevice(backends(), options.device, {
    forceHost: io.env['VRAM_RESIDENCY_FORCE_HOST'] === '1',
  });
  const decision = decide(options.policy, classify(device.info.facts).residency, device.info.facts);
  if (decision.accepted) return device;
  await device.close();
  throw policyViolation(decision);
}

/** Copies random bytes in, hashes them in place, brings them back: each timed alone, each answer checked. */
async function measure(
  device: Device,
  engine: DigestEngine,
  size: number | undefined,
  signal: AbortSignal,
): Promise<{ throughput: Throughput; immutability: string }> {
  const byteLength = size ?? SIZE[device.info.execution];
  const bytes = randomFillSync(new Uint8Array(Math.min(byteLength, 4 * MIB)));
  const region = await device.allocate(byteLength);
  try {
    const copying = performance.now();
    for (let offset = 0; offset < byteLength; offset += bytes.length) {
      throwIfAborted(signal);
      await region.write(offset, bytes.subarray(0, Math.min(bytes.length, byteLength - offset)));
    }
    const immutability = await region.freeze();
    const copyMs = performance.now() - copying;
    const verifying = performance.now();
    const { root } = await region.root({ signal });
    const verifyMs = performance.now() - verifying;
    throwIfAborted(signal);
    const reading = performance.now();
    const readback = engine.start({ byteLength, sha256: false, keep: 'root' });
    for (let offset = 0; offset < byteLength; offset += bytes.length) {
      await readback.update(await region.read(offset, Math.min(bytes.length, byteLength - offset)));
    }
    const host = await readback.finish();
    const readbackMs = performance.now() - reading;
    const inPlace = await fsverityDigest(byteLength, root, (block) => engine.sha256(block));
    if (inPlace !== host.fsverity) {
      throw new VramError(
        'DEVICE_UNAVAILABLE',
        'the device hashed its memory to another digest than the host did',
      );
    }
    return { throughput: { byteLength, copyMs, verifyMs, readbackMs }, immutability };
  } finally {
    await region.release();
  }
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

function describe(info: DeviceInfo) {
  const { residency, why } = classify(info.facts);
  return {
    id: deviceId(info),
    backend: info.backend,
    index: info.index,
    name: info.name,
    uuid: info.uuid,
    driver: info.driver,
    execution: info.execution,
    ecc: info.ecc,
    residency,
    why,
    totalBytes: info.facts.totalBytes,
  };
}

function deviceText(info: DeviceInfo): string {
  const { residency, why } = classify(info.facts);
  return (
    `device         ${deviceId(info)}  ${escapeForTerminal(info.name)} (${info.execution})\n` +
    `class          ${residencyInWords(residency)} - ${escapeForTerminal(why)}\n`
  );
}

function throughputText({ byteLength, copyMs, verifyMs, readbackMs }: Throughput): string {
  const row = (name: string, ms: number): string =>
    `${name.padEnd(15)}${formatRate(byteLength, ms)} (${formatBytes(byteLength)} in ${formatMs(ms)})\n`;
  return row('copy in', copyMs) + row('verify', verifyMs) + row('read back', readbackMs);
}

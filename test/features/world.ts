import type { AuditLog, AuditRecord } from '../../src/audit/index.js';
import { MemorySink } from '../../src/audit/write/memory-sink.js';
import { auditObserver } from '../../src/audit/write/observer.js';
import { isVramError, VramError } from '../../src/base/errors.js';
import type { VerificationReport } from '../../src/base/reports.js';
import type { Device, FaultPort, Region } from '../../src/device/index.js';
import type { RunOptions } from '../../src/device/types.js';
import type { Observer } from '../../src/events/events.js';
import { type Capacity, type ManagerOptions, VramManager } from '../../src/manager/index.js';
import { NarrationCapture, narrationObserver } from '../../src/narration/index.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import type { SealedShard } from '../../src/seal/index.js';
import { bytesSource, type Source } from '../../src/source/index.js';
import type { ContractTarget } from '../contract/cases.js';
import { testSigner } from '../unit/audit/signer.js';
import { overlay, pattern, platform, Recorder, TestClock, token } from '../unit/manager/fixture.js';

export interface KnownShard {
  readonly handle: SealedShard;
  readonly bytes: Uint8Array;
  readonly faults: FaultPort;
}

export interface KnownHandle extends Omit<KnownShard, 'faults'> {
  readonly name: string;
}

export type Step = 'write' | 'freeze' | 'root';

type Outcome = { readonly value: unknown } | { readonly error: VramError; asserted: boolean };

/** What one scenario works with, and what it has seen. */
export class World {
  readonly target: ContractTarget;
  readonly recorder = new Recorder();
  readonly told = new NarrationCapture();
  readonly sink = new MemorySink();
  readonly clock = new TestClock();
  readonly shards = new Map<string, KnownShard>();
  readonly released = new Map<string, KnownShard>();
  /** Everything a caller has been shown: handles, reports, errors. */
  readonly shown: unknown[] = [];
  /** The next use of this step fails. */
  failNext: Step | null = null;
  /** How many of the next roots are wrong. */
  wrongRoots = 0;
  /** Whether the audit log refuses every record. */
  auditBroken = false;
  /** The buffer that the token was given in. */
  givenToken = token();
  /** Bytes that came back from the device during the latest attempt. */
  readbackBytes = 0;
  /** Whether the latest lease had been revoked before its work returned. */
  leaseRevoked = false;
  /** Work that a lease was lent to. */
  executions = 0;
  /** What came of calls that were made at once. */
  rush: readonly PromiseSettledResult<KnownHandle>[] = [];
  /** The scenario's audit log. */
  log: AuditLog | null = null;
  lose: (() => Promise<void>) | null = null;
  second: VramManager | null = null;
  #device: Device;
  readonly #ownDevices: Device[] = [];
  readonly #closing: VramManager[] = [];
  #manager: VramManager | null = null;
  #outcome: Outcome | null = null;
  #lastFaults: FaultPort | null = null;

  constructor(target: ContractTarget, device: Device) {
    this.target = target;
    this.#device = device;
  }

  /** A slow device gets a scaled number of repetitions. */
  get isHost(): boolean {
    return this.#device.info.backend === 'host';
  }

  get device(): Device {
    return this.#device;
  }

  get manager(): VramManager {
    if (this.#manager === null) throw new Error('the scenario has started no worker');
    return this.#manager;
  }

  /** Opens the scenario's worker. */
  async start(options: Partial<ManagerOptions> = {}, device = this.#device): Promise<VramManager> {
    const manager = await this.open({ observers: [this.recorder, this.#narrator()], ...options }, device);
    this.#manager = manager;
    return manager;
  }

  async startAudited(): Promise<void> {
    const log = await auditObserver({
      sink: this.sink,
      workerId: 'worker-1',
      token: token(),
      crypto: nodeCrypto,
      signer: testSigner(7),
    });
    this.log = log;
    const breakable: Observer = {
      name: 'audit log',
      required: true,
      on: (event) => {
        if (this.auditBroken) throw new Error('the disk is full');
        return log.on(event);
      },
      flush: () => log.flush(),
      close: () => log.close(),
    };
    await this.start({ observers: [breakable, this.recorder, this.#narrator()] });
  }

  /** Opens any worker on this scenario's device; it is closed with the scenario. */
  async open(options: Partial<ManagerOptions>, device = this.#device): Promise<VramManager> {
    this.givenToken = token();
    const manager = await VramManager.open(
      {
        device: this.#watched(device),
        workerId: 'worker-1',
        policy: 'any',
        keep: 'leaves',
        drills: true,
        token: this.givenToken,
        clock: this.clock,
        ...options,
      },
      platform(),
    );
    this.#closing.push(manager);
    return manager;
  }

  async useLosableDevice(): Promise<void> {
    if (this.target.openLosable === undefined) throw new Error('this backend has no device that can be lost');
    const { device, lose } = await this.target.openLosable();
    this.#ownDevices.push(device);
    this.#device = device;
    this.lose = lose;
  }

  /** Seals known bytes and remembers them under a name. Throws what seal() throws. */
  async seal(
    name: string,
    bytes: Uint8Array,
    options: Parameters<VramManager['seal']>[1] = {},
  ): Promise<SealedShard> {
    return await this.sealSource(name, bytes, bytesSource(bytes), { shardId: name, ...options });
  }

  async sealSource(
    name: string,
    bytes: Uint8Array,
    source: Source,
    options: Parameters<VramManager['seal']>[1],
  ): Promise<SealedShard> {
    const handle = await this.manager.seal(source, options);
    const faults = this.#lastFaults;
    if (faults === null) throw new Error('the device has no fault port');
    this.shards.set(name, { handle, bytes, faults });
    this.shown.push(handle, JSON.stringify(handle));
    return handle;
  }

  shard(name: string): KnownShard {
    const shard = this.shards.get(name);
    if (shard === undefined) throw new Error(`the scenario has sealed no shard "${name}"`);
    return shard;
  }

  /** Does what may fail, and keeps what came of it. An earlier refusal that nobody looked at fails the scenario here. */
  async attempt(work: () => Promise<unknown>): Promise<void> {
    this.requireNoSurprise();
    const before = this.#device.stats().readbackBytes;
    try {
      const value = await work();
      this.#outcome = { value };
      this.shown.push(value);
    } catch (error) {
      if (!isVramError(error)) throw error;
      this.#outcome = { error, asserted: false };
      this.shown.push(error);
    }
    this.readbackBytes = this.#device.stats().readbackBytes - before;
  }

  /** What the latest attempt gave. */
  get value(): unknown {
    const outcome = this.#outcome;
    if (outcome === null) throw new Error('nothing was attempted');
    if ('error' in outcome)
      throw new Error(`it was refused as ${outcome.error.code}: ${outcome.error.message}`);
    return outcome.value;
  }

  /** What the latest attempt was refused with. */
  get refusal(): VramError {
    const outcome = this.#outcome;
    if (outcome === null || !('error' in outcome)) throw new Error('it was not refused');
    outcome.asserted = true;
    return outcome.error;
  }

  get report(): VerificationReport {
    const outcome = this.#outcome;
    const value = outcome !== null && 'error' in outcome ? outcome.error.report : this.value;
    if (!isReport(value)) throw new Error('the latest attempt gave no verification report');
    return value;
  }

  /** A refusal that no step looked at must not pass unseen. */
  requireNoSurprise(): void {
    const outcome = this.#outcome;
    if (outcome === null || !('error' in outcome) || outcome.asserted) return;
    throw new Error(
      `it was refused as ${outcome.error.code}, and no step expected that: ${outcome.error.message}`,
    );
  }

  /** The audit log's records, those included that were still on their way. */
  async records(): Promise<AuditRecord[]> {
    await this.log?.flush();
    return this.sink.records();
  }

  async capacity(): Promise<Capacity> {
    return await this.manager.capacity();
  }

  /** Bytes of device memory that the live shards of the scenario take. */
  get expectedUsedBytes(): number {
    return [...this.shards.values()].reduce(
      (sum, { bytes }) => sum + this.#device.allocationBytes(bytes.length),
      0,
    );
  }

  /** Closes everything; memory that is then still taken on the shared device fails the scenario. */
  async close(): Promise<void> {
    for (const manager of this.#closing) await manager.close();
    const { liveRegions, liveBytes } = this.#device.stats();
    for (const device of this.#ownDevices) await device.close();
    if (this.#ownDevices.length === 0 && (liveRegions !== 0 || liveBytes !== 0)) {
      throw new Error(`the scenario left ${liveRegions} regions on the device`);
    }
  }

  #narrator(): Observer {
    return narrationObserver({ sinks: [this.told], token: token(), storybook: true });
  }

  /** The device, with the faults that a scenario asks for. */
  #watched(device: Device): Device {
    return overlay(device, {
      allocate: async (byteLength: number) => {
        const region = await device.allocate(byteLength);
        if (region.faults !== null) this.#lastFaults = region.faults;
        return this.#failing(region);
      },
    });
  }

  #failing(region: Region): Region {
    const refuse = (step: Step): void => {
      if (this.failNext !== step) return;
      this.failNext = null;
      throw new VramError('DEVICE_UNAVAILABLE', `the device failed in ${step}, by the scenario`);
    };
    return overlay(region, {
      write: async (offset: number, bytes: Uint8Array) => {
        refuse('write');
        await region.write(offset, bytes);
      },
      freeze: async () => {
        refuse('freeze');
        return await region.freeze();
      },
      root: async (options?: RunOptions) => {
        refuse('root');
        const result = await region.root(options);
        if (this.wrongRoots > 0) {
          this.wrongRoots--;
          result.root[0] = (result.root[0] ?? 0) ^ 1;
        }
        return result;
      },
    });
  }
}

function isReport(value: unknown): value is VerificationReport {
  return typeof value === 'object' && value !== null && 'damaged' in value && 'verified' in value;
}

/** Weights of a shard: the same for the same name and length, different otherwise. */
export function weightsOf(name: string, byteLength: number): Uint8Array {
  let seed = 7;
  for (const character of name) seed = (seed * 31 + (character.codePointAt(0) ?? 0)) % 1_000_003;
  return pattern(byteLength, seed + 1);
}

/** Text with \u escapes, as written in a feature. */
export function unescapeText(text: string): string {
  return text.replace(/\\u([0-9a-f]{4})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

import type {
  Attributes,
  Counter,
  Histogram,
  Meter,
  MetricOptions,
  ObservableResult,
  UpDownCounter,
} from '@opentelemetry/api';
import type { EventOf, OperationEvent } from '../events/index.js';

interface MetricEntry {
  readonly kind: 'counter' | 'histogram' | 'gauge' | 'up-down counter';
  /** UCUM, as OpenTelemetry wants it. */
  readonly unit: string;
  readonly description: string;
  /** `incubating`: an OpenTelemetry semantic convention that may still be renamed; `own`: there is no convention. */
  readonly convention: 'incubating' | 'own';
  readonly attributes: readonly string[];
  /** Upper bounds of a histogram's buckets, in its unit: what an SDK takes by itself is made for milliseconds. */
  readonly boundaries?: readonly number[];
}

const OF_OPERATION = ['operation', 'outcome'];
const OF_DEVICE = ['hw.id', 'hw.name'];

/**
 * Seconds. From 0.005 to 10 those of OpenTelemetry's semantic conventions for durations; verifications of small shards take
 * less, seals of many gigabytes more.
 */
const DURATION_BOUNDARIES = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5,
  7.5, 10, 25, 50, 100, 250, 500, 1000,
];

/** Metrics of the worker contract (WK-004). */
export const METRICS = {
  'vram_residency.operations': {
    kind: 'counter',
    unit: '{operation}',
    description: 'Operations by name and outcome: ok, or the error code.',
    convention: 'own',
    attributes: OF_OPERATION,
  },
  'vram_residency.operation.duration': {
    kind: 'histogram',
    unit: 's',
    description: 'Duration of operations, by the monotonic clock.',
    convention: 'own',
    attributes: OF_OPERATION,
    boundaries: DURATION_BOUNDARIES,
  },
  'vram_residency.audit.failures': {
    kind: 'counter',
    unit: '{failure}',
    description: 'Operations refused or completed unrecorded because the audit log could not be written.',
    convention: 'own',
    attributes: [],
  },
  'vram_residency.shards.quarantined': {
    kind: 'counter',
    unit: '{shard}',
    description: 'Shards quarantined because their resident bytes were damaged.',
    convention: 'own',
    attributes: [],
  },
  'vram_residency.shares.lent': {
    kind: 'up-down counter',
    unit: '{shard}',
    description: 'Shards that other processes hold a lease of, once for each lease.',
    convention: 'own',
    attributes: [],
  },
  'vram_residency.shares.revoked': {
    kind: 'counter',
    unit: '{lease}',
    description: 'Leases of other processes that were revoked, by reason.',
    convention: 'own',
    attributes: ['reason'],
  },
  'hw.gpu.memory.limit': {
    kind: 'up-down counter',
    unit: 'By',
    description: 'Total device memory.',
    convention: 'incubating',
    attributes: OF_DEVICE,
  },
  'hw.gpu.memory.usage': {
    kind: 'up-down counter',
    unit: 'By',
    description: 'Device memory that live shards hold.',
    convention: 'incubating',
    attributes: OF_DEVICE,
  },
  'vram_residency.memory.available': {
    kind: 'gauge',
    unit: 'By',
    description:
      'Device memory that a seal may still take, as of the latest seal, release or capacity query; absent where the ' +
      'platform does not say.',
    convention: 'own',
    attributes: OF_DEVICE,
  },
} as const satisfies Readonly<Record<string, MetricEntry>>;

interface Memory {
  readonly usedBytes: number;
  readonly availableBytes: number | null;
  readonly totalBytes: number | null;
  readonly attributes: Attributes;
}

/** Counts operations and keeps the latest memory figures of each device. */
export class OperationMetrics {
  readonly #operations: Counter;
  readonly #durations: Histogram;
  readonly #auditFailures: Counter;
  readonly #damage: Counter;
  readonly #lent: UpDownCounter;
  readonly #revoked: Counter;
  readonly #memory = new Map<string, Memory>();

  constructor(meter: Meter) {
    this.#operations = meter.createCounter(...metric('vram_residency.operations'));
    this.#durations = meter.createHistogram(...metric('vram_residency.operation.duration'));
    this.#auditFailures = meter.createCounter(...metric('vram_residency.audit.failures'));
    this.#damage = meter.createCounter(...metric('vram_residency.shards.quarantined'));
    this.#lent = meter.createUpDownCounter(...metric('vram_residency.shares.lent'));
    this.#revoked = meter.createCounter(...metric('vram_residency.shares.revoked'));
    const observe =
      (bytes: (memory: Memory) => number | null) =>
      (result: ObservableResult): void => {
        for (const memory of this.#memory.values()) {
          const value = bytes(memory);
          if (value !== null) result.observe(value, memory.attributes);
        }
      };
    meter
      .createObservableUpDownCounter(...metric('hw.gpu.memory.limit'))
      .addCallback(observe(({ totalBytes }) => totalBytes));
    meter
      .createObservableUpDownCounter(...metric('hw.gpu.memory.usage'))
      .addCallback(observe(({ usedBytes }) => usedBytes));
    meter
      .createObservableGauge(...metric('vram_residency.memory.available'))
      .addCallback(observe(({ availableBytes }) => availableBytes));
  }

  on(event: OperationEvent): void {
    switch (event.type) {
      case 'operation.finished': {
        const attributes = { operation: event.operation, outcome: event.error?.code ?? 'ok' };
        this.#operations.add(1, attributes);
        if (event.durationMs !== null) this.#durations.record(event.durationMs / 1000, attributes);
        if (event.error?.code === 'AUDIT_FAILED') this.#auditFailures.add(1);
        break;
      }
      case 'shard.quarantined':
        this.#damage.add(1);
        break;
      case 'shard.lent':
        this.#lent.add(1);
        break;
      case 'lease.ended':
        this.#lent.add(-event.shards);
        break;
      case 'lease.revoked':
        this.#revoked.add(1, { reason: event.reason });
        break;
      case 'device.opened':
        this.#remember(event, 0, null, event.totalBytes);
        break;
      case 'capacity.queried':
        this.#remember(event, event.usedBytes, event.availableBytes, event.totalBytes);
        break;
      case 'vram.allocated':
        this.#remember(event, event.usedBytes, event.availableBytes);
        break;
      case 'vram.deallocated':
        this.#remember(event, event.usedBytes, event.availableBytes ?? this.#availableAfter(event));
        break;
      default:
        break;
    }
  }

  /** Where the device reported no figure at a release: its last figure plus the bytes freed since. */
  #availableAfter({ device, usedBytes }: EventOf<'vram.deallocated'>): number | null {
    const last = device === null ? undefined : this.#memory.get(device.id);
    return last === undefined || last.availableBytes === null
      ? null
      : last.availableBytes + (last.usedBytes - usedBytes);
  }

  #remember(
    event: OperationEvent,
    usedBytes: number,
    availableBytes: number | null,
    totalBytes?: number | null,
  ): void {
    if (event.device === null) return;
    this.#memory.set(event.device.id, {
      usedBytes,
      availableBytes,
      totalBytes: totalBytes ?? this.#memory.get(event.device.id)?.totalBytes ?? null,
      attributes: { 'hw.id': event.device.id, 'hw.name': event.device.name },
    });
  }
}

function metric(name: keyof typeof METRICS): [name: string, options: MetricOptions] {
  const { unit, description, boundaries }: MetricEntry = METRICS[name];
  const advice = boundaries === undefined ? {} : { advice: { explicitBucketBoundaries: [...boundaries] } };
  return [name, { unit, description, ...advice }];
}

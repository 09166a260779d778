import type { Attributes, Counter, Histogram, Meter } from '@opentelemetry/api';
import type { OperationEvent } from '../events.js';

interface Memory {
  readonly usedBytes: number;
  readonly availableBytes: number | null;
  readonly totalBytes: number | null;
  readonly attributes: Attributes;
}

/**
 * Metrics of the worker contract (WK-004). Memory follows the OpenTelemetry semantic conventions `hw.gpu.memory.*`, which are
 * still incubating and may be renamed; everything without a convention lives under `vram_residency.`.
 */
export class OperationMetrics {
  readonly #operations: Counter;
  readonly #durations: Histogram;
  readonly #auditFailures: Counter;
  readonly #damage: Counter;
  /** The latest figures of each device. */
  readonly #memory = new Map<string, Memory>();

  constructor(meter: Meter) {
    this.#operations = meter.createCounter('vram_residency.operations', {
      description: 'Operations by name and outcome: ok, or the error code.',
      unit: '{operation}',
    });
    this.#durations = meter.createHistogram('vram_residency.operation.duration', {
      description: 'Duration of operations, by the monotonic clock.',
      unit: 's',
    });
    this.#auditFailures = meter.createCounter('vram_residency.audit.failures', {
      description: 'Operations refused or completed unrecorded because the audit log could not be written.',
      unit: '{failure}',
    });
    this.#damage = meter.createCounter('vram_residency.shards.quarantined', {
      description: 'Shards locked away because their resident bytes were damaged.',
      unit: '{shard}',
    });
    meter
      .createObservableUpDownCounter('hw.gpu.memory.limit', {
        description: 'Total device memory.',
        unit: 'By',
      })
      .addCallback((result) => {
        for (const memory of this.#memory.values()) {
          if (memory.totalBytes !== null) result.observe(memory.totalBytes, memory.attributes);
        }
      });
    meter
      .createObservableUpDownCounter('hw.gpu.memory.usage', {
        description: 'Device memory that live shards hold.',
        unit: 'By',
      })
      .addCallback((result) => {
        for (const memory of this.#memory.values()) result.observe(memory.usedBytes, memory.attributes);
      });
    meter
      .createObservableGauge('vram_residency.memory.available', {
        description: 'Device memory that a seal may still take; absent where the platform does not say.',
        unit: 'By',
      })
      .addCallback((result) => {
        for (const memory of this.#memory.values()) {
          if (memory.availableBytes !== null) result.observe(memory.availableBytes, memory.attributes);
        }
      });
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
      case 'device.opened':
        this.#remember(event, 0, null, event.totalBytes);
        break;
      case 'capacity.queried':
        this.#remember(event, event.usedBytes, event.availableBytes, event.totalBytes);
        break;
      case 'vram.allocated':
      case 'vram.deallocated':
        this.#remember(event, event.usedBytes, event.availableBytes);
        break;
      default:
        break;
    }
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

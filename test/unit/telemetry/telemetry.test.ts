import { readFileSync } from 'node:fs';
import * as api from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterEach, describe, expect, it } from 'vitest';
import { activeTraceparent } from '../../../src/telemetry/active.js';
import { METRICS } from '../../../src/telemetry/metrics.js';
import { telemetryObserver } from '../../../src/telemetry/observer.js';
import { EVENT_TYPES, sampleEvent } from '../../support/events.js';

const { context, ROOT_CONTEXT, trace } = api;
const TRACE = '0af7651916cd43dd8448eb211c80319c';

function tracing() {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  return { exporter, provider, observer: telemetryObserver(api, { tracerProvider: provider }) };
}

async function measured(types: readonly Parameters<typeof sampleEvent>[]) {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 60_000 });
  const meterProvider = new MeterProvider({ readers: [reader] });
  const observer = telemetryObserver(api, { meterProvider });
  for (const [type, parts] of types) await observer.on(sampleEvent(type, parts));
  await meterProvider.forceFlush();
  const points = exporter
    .getMetrics()
    .flatMap((resource) => resource.scopeMetrics)
    .flatMap((scope) => scope.metrics)
    .flatMap((metric) => metric.dataPoints.map((point) => ({ name: metric.descriptor.name, ...point })));
  await meterProvider.shutdown();
  return points;
}

afterEach(() => context.disable());

describe('spans', () => {
  it('[NA-003] makes one span an operation and one child a stage, under the caller’s trace', () => {
    const { exporter, observer } = tracing();
    void observer.on(sampleEvent('operation.started', { at: '2026-01-02T03:04:05.000Z', monotonicMs: 100 }));
    void observer.on(
      sampleEvent('operation.stage', {
        at: '2026-01-02T03:04:05.030Z',
        monotonicMs: 130,
        startedMonotonicMs: 110,
        durationMs: 20,
      }),
    );
    void observer.on(sampleEvent('vram.allocated'));
    void observer.on(sampleEvent('operation.finished', { monotonicMs: 150, ok: true, error: null }));
    const [stage, operation] = exporter.getFinishedSpans();
    expect(operation).toMatchObject({ name: 'vram_residency.seal', parentSpanContext: { traceId: TRACE } });
    expect(operation?.attributes).toMatchObject({
      'vram_residency.correlation_id': 'req-42',
      'vram_residency.shard_id': 'shard-1',
      'hw.id': 'cuda:0',
    });
    expect(operation?.events.map(({ name }) => name)).toEqual(['vram.allocated']);
    expect(stage).toMatchObject({
      name: 'vram_residency.seal.read',
      parentSpanContext: { spanId: operation?.spanContext().spanId, traceId: TRACE },
    });
    expect(stage?.duration).toEqual([0, 20_000_000]);
    expect(operation?.duration).toEqual([0, 50_000_000]);
  });

  it('marks a failed operation with its error code', () => {
    const { exporter, observer } = tracing();
    void observer.on(sampleEvent('operation.started'));
    void observer.on(sampleEvent('operation.finished'));
    expect(exporter.getFinishedSpans()[0]).toMatchObject({
      status: { code: 2 },
      attributes: { 'error.type': 'DEVICE_UNAVAILABLE' },
    });
  });

  it('[NA-003] reads the active span’s traceparent, and hangs spans below it', () => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    const { exporter, provider, observer } = tracing();
    const caller = provider.getTracer('caller').startSpan('request', {}, ROOT_CONTEXT);
    const { traceId, spanId } = caller.spanContext();
    const traceparent = `00-${traceId}-${spanId}-01`;
    context.with(trace.setSpan(ROOT_CONTEXT, caller), () => {
      expect(activeTraceparent()).toBe(traceparent);
      void observer.on(sampleEvent('operation.started', { traceparent }));
    });
    void observer.on(sampleEvent('operation.finished', { ok: true, error: null }));
    const parent = exporter.getFinishedSpans()[0]?.parentSpanContext;
    expect(parent).toMatchObject({ traceId, spanId });
    // The span itself, not a remote one of its name.
    expect(parent?.isRemote).not.toBe(true);
    expect(activeTraceparent()).toBeNull();
  });

  it('[NA-003] names no span whose ids are zeros', () => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    const unrecorded = trace.wrapSpanContext(api.INVALID_SPAN_CONTEXT);
    context.with(trace.setSpan(ROOT_CONTEXT, unrecorded), () => expect(activeTraceparent()).toBeNull());
  });

  it('[NA-003] follows the caller’s traceparent where it differs from the active span', () => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    const { exporter, provider, observer } = tracing();
    const caller = provider.getTracer('caller').startSpan('request', {}, ROOT_CONTEXT);
    context.with(trace.setSpan(ROOT_CONTEXT, caller), () => {
      void observer.on(sampleEvent('operation.started'));
    });
    void observer.on(sampleEvent('operation.finished', { ok: true, error: null }));
    expect(exporter.getFinishedSpans()[0]?.parentSpanContext).toMatchObject({
      traceId: TRACE,
      spanId: 'b7ad6b7169203331',
      isRemote: true,
    });
  });

  it.each([null, '', 'garbage', `00-${'0'.repeat(32)}-${'0'.repeat(16)}-01`])(
    'starts a trace of its own where the traceparent is %j',
    (traceparent) => {
      const { exporter, observer } = tracing();
      void observer.on(sampleEvent('operation.started', { traceparent }));
      void observer.on(sampleEvent('operation.finished', { traceparent }));
      expect(exporter.getFinishedSpans()[0]?.parentSpanContext).toBeUndefined();
    },
  );

  it('ignores stages and ends of operations that it never saw begin', () => {
    const { exporter, observer } = tracing();
    for (const type of EVENT_TYPES) if (type !== 'operation.started') void observer.on(sampleEvent(type));
    expect(exporter.getFinishedSpans()).toEqual([]);
  });
});

describe('metrics', () => {
  it('[WK-004] counts operations by outcome, their durations, audit failures and quarantines', async () => {
    const points = await measured([
      ['operation.finished', { ok: true, error: null, durationMs: 250 }],
      ['operation.finished', {}],
      [
        'operation.finished',
        {
          operation: 'execute',
          error: { code: 'AUDIT_FAILED', kind: 'retriable', scope: null, message: 'x' },
        },
      ],
      ['shard.quarantined', {}],
    ]);
    const named = (name: string) => points.filter((point) => point.name === name);
    expect(
      named('vram_residency.operations').map(({ attributes, value }) => ({ ...attributes, value })),
    ).toEqual([
      { operation: 'seal', outcome: 'ok', value: 1 },
      { operation: 'seal', outcome: 'DEVICE_UNAVAILABLE', value: 1 },
      { operation: 'execute', outcome: 'AUDIT_FAILED', value: 1 },
    ]);
    expect(named('vram_residency.operation.duration')[0]).toMatchObject({ value: { sum: 0.25, count: 1 } });
    expect(named('vram_residency.audit.failures')[0]).toMatchObject({ value: 1 });
    expect(named('vram_residency.shards.quarantined')[0]).toMatchObject({ value: 1 });
  });

  it('[WK-004] tells durations of microseconds and of minutes apart, by buckets that the documentation names', async () => {
    const seconds = [0.00008, 0.0007, 0.03, 0.6, 20, 700, 4000];
    const points = await measured(
      seconds.map((one) => ['operation.finished', { ok: true, error: null, durationMs: one * 1000 }]),
    );
    const histogram = points.find(({ name }) => name === 'vram_residency.operation.duration')?.value;
    if (typeof histogram !== 'object' || !('buckets' in histogram)) throw new Error('no histogram');
    const { boundaries, counts } = histogram.buckets;
    const buckets = seconds.map((one) => boundaries.findIndex((bound) => one <= bound));
    expect(new Set(buckets).size).toBe(seconds.length);
    expect(counts.flatMap((count, index) => Array<number>(count).fill(index))).toEqual(
      buckets.map((bucket) => (bucket === -1 ? boundaries.length : bucket)),
    );
    // OpenTelemetry semantic conventions, http.server.request.duration.
    expect(boundaries).toEqual(
      expect.arrayContaining([0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]),
    );
    const docs = readFileSync(new URL('../../../docs/observability.md', import.meta.url), 'utf8');
    expect(docs.replace(/\s+/g, ' ')).toContain(` in seconds: ${boundaries.join(', ')}. `);
  });

  it('[WK-004] advises boundaries for every histogram, and for nothing else', () => {
    for (const entry of Object.values(METRICS))
      expect('boundaries' in entry).toBe(entry.kind === 'histogram');
  });

  it('[WK-004] shows total, used and available bytes of each device, and nothing for unknown figures', async () => {
    const points = await measured([
      ['device.opened', {}],
      ['vram.allocated', { usedBytes: 4096, availableBytes: 1000 }],
      [
        'vram.allocated',
        {
          device: { id: 'webgpu:0', name: 'W', uuid: null, residency: 'unproven', emulated: false },
          usedBytes: 8192,
          availableBytes: null,
        },
      ],
    ]);
    const values = points.map(({ name, attributes, value }) => [name, attributes['hw.id'], value]);
    expect(values).toEqual(
      expect.arrayContaining([
        ['hw.gpu.memory.limit', 'cuda:0', 80e9],
        ['hw.gpu.memory.usage', 'cuda:0', 4096],
        ['hw.gpu.memory.usage', 'webgpu:0', 8192],
        ['vram_residency.memory.available', 'cuda:0', 1000],
      ]),
    );
    expect(values).toHaveLength(4);
  });

  it('[WK-004] counts what was given back as available again, where the device is not asked', async () => {
    const points = await measured([
      ['vram.allocated', { usedBytes: 8192, availableBytes: 1000 }],
      ['vram.deallocated', { usedBytes: 4096, availableBytes: null }],
    ]);
    expect(points.find(({ name }) => name === 'vram_residency.memory.available')?.value).toBe(5096);
  });

  it('does nothing, quietly, where no SDK is installed', () => {
    const observer = telemetryObserver(api);
    for (const type of EVENT_TYPES) expect(() => observer.on(sampleEvent(type))).not.toThrow();
  });
});

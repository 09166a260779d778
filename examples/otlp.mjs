// node examples/otlp.mjs MODEL: traces of a seal, a verification and an execution, exported by OTLP over HTTP to
// OTEL_EXPORTER_OTLP_ENDPOINT, by default http://localhost:4318. To install beside vram-residency: @opentelemetry/api,
// @opentelemetry/context-async-hooks, @opentelemetry/exporter-trace-otlp-http, @opentelemetry/resources,
// @opentelemetry/sdk-trace-base.
import { context, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { fileSource, telemetryObserver, VramManager } from 'vram-residency';

// Once, when the service starts: the SDK behind the OpenTelemetry API.
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'inference' }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
trace.setGlobalTracerProvider(provider);

const manager = await VramManager.open({
  workerId: 'inference-1',
  policy: 'any',
  device: process.env.DEVICE ?? 'auto',
  observers: [telemetryObserver()],
});
const source = await fileSource(process.argv[2]);

// Operations inside the caller's span become part of its trace; nothing has to be passed.
await trace.getTracer('inference').startActiveSpan('load and serve', async (request) => {
  const shard = await manager.seal(source);
  await manager.verify(shard);
  const bytes = await manager.execute(shard, (lease) => lease.byteLength);
  console.log(`served from ${bytes} verified bytes, trace ${request.spanContext().traceId}`);
  await manager.release(shard);
  request.end();
});

await source.close();
await manager.close();
await provider.shutdown();

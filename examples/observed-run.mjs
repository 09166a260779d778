// node examples/observed-run.mjs: one life of a real model - sealed, verified, damaged on purpose, found damaged, healed,
// released - under one correlation id, as its narration and as its trace.
import { createRequire } from 'node:module';
import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { fileSource, isVramError, narrationObserver, telemetryObserver, VramManager } from 'vram-residency';

const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());

const told = [];
const trailing = { correlationId: 'req-42' };
const model = createRequire(import.meta.url).resolve('@ricky0123/vad-web/dist/silero_vad_v5.onnx');
const source = await fileSource(model);

const request = provider.getTracer('example').startSpan('request', {}, ROOT_CONTEXT);
await context.with(trace.setSpan(ROOT_CONTEXT, request), async () => {
  const manager = await VramManager.open({
    device: process.argv[2] ?? 'host',
    policy: 'any',
    workerId: 'worker-1',
    budgetBytes: 64 * 2 ** 20,
    drills: true,
    observers: [
      narrationObserver({ sinks: [{ tell: (narration) => void told.push(narration) }] }),
      telemetryObserver({ tracerProvider: provider }),
    ],
    ...trailing,
  });
  const shard = await manager.seal(source, { shardId: 'silero-vad', modelRef: 'silero-vad-v5', ...trailing });
  await manager.verify(shard, trailing);
  await manager.drill(shard, { seed: 1, ...trailing });
  try {
    await manager.verify(shard, trailing);
    throw new Error('the damage was not found');
  } catch (error) {
    if (!isVramError(error, 'INTEGRITY_VIOLATION')) throw error;
  }
  await manager.heal(shard, source, trailing);
  await manager.release(shard, trailing);
  await manager.close();
});
request.end();
await source.close();

for (const { level, action, human } of told) console.log(`${level.padEnd(5)} ${action.padEnd(26)} ${human}`);
const { traceId, spanId } = request.spanContext();
const correlations = new Set(
  told.filter(({ action }) => action !== 'manager_closed').map((one) => one.correlationId),
);
console.log(`\n${told.length} sentences, correlation id ${[...correlations]}`);
if (told.some((narration) => narration.traceId !== traceId)) throw new Error('a sentence left the trace');

const spans = exporter.getFinishedSpans();
console.log(`\ntrace ${traceId}`);
print(spanId, '');

/** The spans below one, in the order in which they ended. */
function print(parent, indent) {
  for (const span of spans.filter(({ parentSpanContext }) => parentSpanContext?.spanId === parent)) {
    const [seconds, nanoseconds] = span.duration;
    const ms = (seconds * 1000 + nanoseconds / 1e6).toFixed(1);
    const error = span.attributes['error.type'];
    const name = `${indent}${span.name}`;
    console.log(`${name.padEnd(40)} ${ms.padStart(7)} ms${error === undefined ? '' : `  ${error}`}`);
    print(span.spanContext().spanId, `${indent}  `);
  }
}

// node examples/prometheus.mjs MODEL: metrics at http://127.0.0.1:9464/metrics until it is interrupted; PORT chooses another port.
// To install beside vram-residency: @opentelemetry/api, @opentelemetry/exporter-prometheus, @opentelemetry/sdk-metrics.
import { once } from 'node:events';
import { metrics } from '@opentelemetry/api';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { fileSource, telemetryObserver, VramManager } from 'vram-residency';

const port = Number(process.env.PORT ?? 9464);
const exporter = new PrometheusExporter({ host: '127.0.0.1', port });
const provider = new MeterProvider({ readers: [exporter] });
metrics.setGlobalMeterProvider(provider);

const manager = await VramManager.open({
  workerId: 'inference-1',
  policy: 'any',
  device: process.env.DEVICE ?? 'auto',
  observers: [telemetryObserver()],
});
const source = await fileSource(process.argv[2]);
const shard = await manager.seal(source);
await manager.verify(shard);
console.log(`http://127.0.0.1:${port}/metrics`);

await once(process, 'SIGINT');
await source.close();
await manager.close();
await provider.shutdown();

// node examples/prometheus.mjs MODEL: metrics at http://127.0.0.1:9464/metrics until it is interrupted; PORT chooses
// another port. To install beside vram-residency: @opentelemetry/api, @opentelemetry/exporter-prometheus,
// @opentelemetry/sdk-metrics.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { metrics } from '@opentelemetry/api';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { fileSource, telemetryObserver, VramManager } from 'vram-residency';

// The service's own server answers requests for the exporter.
const exporter = new PrometheusExporter({ preventServerStart: true });
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

const server = createServer((request, response) => {
  if (request.url === '/metrics') exporter.getMetricsRequestHandler(request, response);
  else response.writeHead(404).end();
});
server.listen(Number(process.env.PORT ?? 9464), '127.0.0.1');
await once(server, 'listening');
console.log(`http://127.0.0.1:${server.address().port}/metrics`);

await once(process, 'SIGINT');
server.close();
await source.close();
await manager.close();
await provider.shutdown();

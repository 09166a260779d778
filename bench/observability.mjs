// node bench/observability.mjs: the cost of narration and telemetry, as a share of sealing 1 MiB on the host device. Needs
// a build.
//
// The seal is timed without observers. Then the events of such a seal are emitted to each observer repeatedly. Timing seals
// with and without an observer instead would measure the machine: the variation between seals is far larger.
import { cpus, loadavg } from 'node:os';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { telemetryObserver, VramManager } from '../dist/index.js';
import { narrationObserver } from '../dist/narration/observer.js';
import { pinoSink } from '../dist/node/narration.js';
import { bytesSource } from '../dist/source/bytes.js';

const BYTES = 2 ** 20;
const ROUNDS = 25;
const WARM_UP = 5;
const SEALS = 16;
const TELLINGS = 200;

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const bytes = new Uint8Array(BYTES).map((_, index) => (index * 31 + (index >> 8)) & 255);

async function open(observers) {
  return await VramManager.open({ device: 'host', policy: 'any', workerId: 'bench', observers });
}

/**
 * Microseconds of processor time that this process and its threads have used. Excludes waiting for a busy machine.
 */
const cpuUs = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

/** Median microseconds of a seal, and the events of one. */
async function seals() {
  const plain = await open([]);
  const times = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const shards = [];
    const began = cpuUs();
    for (let index = 0; index < SEALS; index += 1) shards.push(await plain.seal(bytesSource(bytes)));
    times.push((cpuUs() - began) / SEALS);
    for (const shard of shards) await plain.release(shard);
  }
  await plain.close();
  const events = [];
  const watched = await open([{ name: 'keep', required: false, on: (event) => void events.push(event) }]);
  await watched.seal(bytesSource(bytes), { shardId: 'silero-vad', modelRef: 'silero-vad-v5' });
  await watched.close();
  return {
    sealUs: median(times.slice(WARM_UP)),
    events: events.filter(({ operation }) => operation === 'seal'),
  };
}

/** Median microseconds that an observer spends on the events of one seal. */
async function told(observer, events) {
  const times = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const began = cpuUs();
    for (let index = 0; index < TELLINGS; index += 1) for (const event of events) observer.on(event);
    times.push((cpuUs() - began) / TELLINGS);
    // The exporters' queues empty here, outside the timed part.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return median(times.slice(WARM_UP));
}

const token = crypto.getRandomValues(new Uint8Array(32));
const sinks = [{ tell: () => undefined }];
const discard = { write: () => true };
const exporter = { export: (_spans, done) => done({ code: 0 }), shutdown: async () => undefined };
const tracerProvider = new BasicTracerProvider({
  spanProcessors: [new BatchSpanProcessor(exporter, { maxQueueSize: 1e6, maxExportBatchSize: 1e4 })],
});
const meterProvider = new MeterProvider({
  readers: [
    new PeriodicExportingMetricReader({
      exporter: new InMemoryMetricExporter(AggregationTemporality.DELTA),
      exportIntervalMillis: 3_600_000,
    }),
  ],
});
const cases = [
  ['narration, sentences alone', narrationObserver({ sinks })],
  ['narration, looking for the worker token too', narrationObserver({ sinks, token })],
  [
    'narration as JSON lines by pino, token and storybook',
    narrationObserver({ sinks: [pinoSink(discard)], token, storybook: true }),
  ],
  ['telemetry, no SDK installed', telemetryObserver()],
  ['telemetry, spans and metrics recorded by an SDK', telemetryObserver({ tracerProvider, meterProvider })],
];

const load = loadavg()[0];
const { sealUs, events } = await seals();
const row = (name, us) =>
  console.log(
    `${name.padEnd(54)} ${us.toFixed(0).padStart(6)} us  ${((us / sealUs) * 100).toFixed(2).padStart(6)} %`,
  );
const today = new Date().toISOString().slice(0, 10);
const machine = `${cpus()[0].model.trim()}, ${cpus().length} cores`;
console.log(`${today}, node ${process.version}, ${machine}, load ${load.toFixed(1)}; processor time`);
row(`a seal of 1 MiB, no observer, ${events.length} events`, sealUs);
for (const [name, observer] of cases) row(name, await told(observer, events));
await tracerProvider.shutdown();
await meterProvider.shutdown();

import type { WorkerStatus } from '../../api-schema/index.js';

type Labels = Readonly<Record<string, string>>;

/** Prometheus' text format (exposition format 0.0.4). */
export function metricsText(status: WorkerStatus, ready: boolean, nowMs: number): string {
  const lines: string[] = [];
  const metric = (
    name: string,
    help: string,
    samples: readonly (readonly [Labels, number | null])[],
  ): void => {
    lines.push(`# HELP vram_residency_${name} ${help}`, `# TYPE vram_residency_${name} gauge`);
    for (const [labels, value] of samples) {
      if (value !== null) lines.push(`vram_residency_${name}${written(labels)} ${value}`);
    }
  };
  const { capacity, models } = status;
  metric('worker_ready', '1 where every configured model is sealed and verified.', [[{}, ready ? 1 : 0]]);
  metric('worker_state', '1 for the state that the worker is in.', [[{ state: status.state }, 1]]);
  metric('device_total_bytes', 'Device memory, or the budget.', [[{}, capacity.totalBytes]]);
  metric('device_used_bytes', 'Device memory of sealed shards.', [[{}, capacity.usedBytes]]);
  metric('device_available_bytes', 'Device memory left for shards.', [[{}, capacity.availableBytes]]);
  metric('reserved_bytes', 'Held by plans that were not committed yet.', [[{}, capacity.reservedBytes]]);
  const modelSamples = (value: (model: WorkerStatus['models'][number]) => number | null) =>
    models.map((model) => [{ model: model.name }, value(model)] as const);
  metric(
    'model_ready',
    '1 where the model is sealed, verified and undamaged.',
    modelSamples(({ state }) => (state === 'ready' ? 1 : 0)),
  );
  metric(
    'model_bytes',
    'Bytes of the model.',
    modelSamples(({ byteLength }) => byteLength),
  );
  metric(
    'model_damaged_shards',
    'Shards in quarantine.',
    modelSamples(({ shards }) => shards.filter(({ quarantined }) => quarantined).length),
  );
  metric(
    'model_verified_age_seconds',
    'Age of the least recent verification of a shard.',
    modelSamples(({ shards }) => oldestAge(shards, nowMs)),
  );
  return `${lines.join('\n')}\n`;
}

function oldestAge(shards: WorkerStatus['models'][number]['shards'], nowMs: number): number | null {
  const ages = shards.map(({ lastVerifiedAt }) =>
    lastVerifiedAt === null ? null : nowMs - Date.parse(lastVerifiedAt),
  );
  const known = ages.filter((age) => age !== null);
  return known.length === 0 || known.length < ages.length ? null : Math.max(0, ...known) / 1000;
}

function written(labels: Labels): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

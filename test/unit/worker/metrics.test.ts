import { expect, it } from 'vitest';
import type { ModelView, WorkerStatus } from '../../../src/api-schema/index.js';
import { metricsText } from '../../../src/worker/http/metrics.js';

const NOW = Date.UTC(2026, 0, 2, 0, 1, 0);
const at = (second: number) => new Date(Date.UTC(2026, 0, 2, 0, 0, second)).toISOString();

function model(
  name: string,
  state: ModelView['state'],
  verified: readonly (string | null)[],
  quarantined = 0,
) {
  const shards = verified.map((lastVerifiedAt, index) => ({
    lastVerifiedAt,
    quarantined: index < quarantined,
  }));
  return { name, state, byteLength: 4096, shards };
}

function status(models: readonly object[], totalBytes: number | null = 1000): WorkerStatus {
  const capacity = { totalBytes, usedBytes: 300, scratchBytes: 5, availableBytes: 650, reservedBytes: 50 };
  // The text is made of these fields alone.
  return { state: 'ready', capacity, models } as unknown as WorkerStatus;
}

/** The lines of samples of one metric. */
function samples(text: string, name: string): string[] {
  return text.split('\n').filter((line) => line.startsWith(`vram_residency_${name}`));
}

it('writes the exposition format of Prometheus', () => {
  expect(
    metricsText(status([]), true, NOW),
  ).toBe(`# HELP vram_residency_worker_ready 1 where every configured model is sealed and verified.
# TYPE vram_residency_worker_ready gauge
vram_residency_worker_ready 1
# HELP vram_residency_worker_state 1 for the state that the worker is in.
# TYPE vram_residency_worker_state gauge
vram_residency_worker_state{state="ready"} 1
# HELP vram_residency_device_total_bytes Device memory, or the budget.
# TYPE vram_residency_device_total_bytes gauge
vram_residency_device_total_bytes 1000
# HELP vram_residency_device_used_bytes Device memory of sealed shards.
# TYPE vram_residency_device_used_bytes gauge
vram_residency_device_used_bytes 300
# HELP vram_residency_device_available_bytes Device memory left for shards.
# TYPE vram_residency_device_available_bytes gauge
vram_residency_device_available_bytes 650
# HELP vram_residency_reserved_bytes Held by plans that were not committed yet.
# TYPE vram_residency_reserved_bytes gauge
vram_residency_reserved_bytes 50
# HELP vram_residency_model_ready 1 where the model is sealed, verified and undamaged.
# TYPE vram_residency_model_ready gauge
# HELP vram_residency_model_bytes Bytes of the model.
# TYPE vram_residency_model_bytes gauge
# HELP vram_residency_model_damaged_shards Shards in quarantine.
# TYPE vram_residency_model_damaged_shards gauge
# HELP vram_residency_model_verified_age_seconds Age of the least recent verification of a shard.
# TYPE vram_residency_model_verified_age_seconds gauge
`);
});

it('gives of every model whether it is ready, its bytes, its damage and the age of its oldest verification', () => {
  const text = metricsText(
    status([
      model('a', 'ready', [at(50), at(30)]),
      model('b', 'damaged', [at(58), null], 1),
      model('c', 'loading', []),
      model('d', 'ready', [at(90)]),
    ]),
    false,
    NOW,
  );
  expect(samples(text, 'worker_ready')).toEqual(['vram_residency_worker_ready 0']);
  expect(samples(text, 'model_ready').map((line) => line.at(-1))).toEqual(['1', '0', '0', '1']);
  expect(samples(text, 'model_bytes')[1]).toBe('vram_residency_model_bytes{model="b"} 4096');
  expect(samples(text, 'model_damaged_shards').map((line) => line.at(-1))).toEqual(['0', '1', '0', '0']);
  // None where a shard was never verified whole; never below 0, whatever the clock did.
  expect(samples(text, 'model_verified_age_seconds')).toEqual([
    'vram_residency_model_verified_age_seconds{model="a"} 30',
    'vram_residency_model_verified_age_seconds{model="d"} 0',
  ]);
});

it('leaves out what is not known, and escapes what a label may not hold', () => {
  const text = metricsText(status([model('a"b\\c\nd', 'ready', [at(0)])], null), true, NOW);
  expect(samples(text, 'device_total_bytes')).toEqual([]);
  expect(samples(text, 'model_bytes')).toEqual(['vram_residency_model_bytes{model="a\\"b\\\\c\\nd"} 4096']);
});

import type { OperationEvent } from '../../events/index.js';
import { createNodeEngine } from '../../node/index.js';
import { bytesSource } from '../../source/index.js';
import { median } from './measure.js';
import { type BenchSetting, openManager, randomBytes } from './setting.js';

const MIB = 1024 * 1024;
const CHUNK = MIB;
/** The figure that the original system states, and the one measured here for the same step, in milliseconds. */
export interface Stated {
  readonly step: string;
  readonly original: string;
  readonly measured: string;
}

const STATED_ROUNDS = 200;
const COPY_BYTES = 64 * MIB;

/** A 1 MiB seal on the host backend, step by step, beside the figures that the original system states for its GPU. */
export async function benchStated(setting: BenchSetting): Promise<Stated[]> {
  const times = new Map<string, number[]>();
  const note = (name: string, ms: number | null): void => {
    if (ms !== null) times.set(name, [...(times.get(name) ?? []), ms]);
  };
  const observer = {
    name: 'bench',
    required: false,
    on(event: OperationEvent): void {
      if (event.type === 'vram.allocated' || event.type === 'vram.sealed') note(event.type, event.durationMs);
      if (event.type === 'signature.generated') note(event.type, event.durationMs);
    },
  };
  const engine = createNodeEngine();
  const manager = await openManager(setting, { device: 'host', observers: [observer], engine });
  try {
    const bytes = randomBytes(MIB);
    for (let round = 0; round < STATED_ROUNDS; round += 1) {
      setting.signal.throwIfAborted();
      const started = performance.now();
      const shard = await manager.seal(bytesSource(bytes));
      note('seal', performance.now() - started);
      await manager.release(shard);
    }
  } finally {
    await manager.close();
    await engine.close();
  }
  const of = (name: string): string => `${median(times.get(name) ?? []).toFixed(2)} ms`;
  return [
    { step: 'seal 1 MiB', original: 'about 2 ms', measured: of('seal') },
    { step: 'allocation', original: 'about 1 ms', measured: of('vram.allocated') },
    { step: 'signature', original: 'under 1 ms', measured: of('signature.generated') },
    { step: 'copy in', original: 'about 5 GB/s', measured: await copyRate(setting) },
  ];
}

async function copyRate(setting: BenchSetting): Promise<string> {
  const backend = setting.platform.backends({}).find(({ kind }) => kind === 'host');
  if (backend === undefined) return 'no host backend';
  const device = await backend.open(0);
  try {
    const bytes = randomBytes(CHUNK);
    const rates: number[] = [];
    for (let round = 0; round < 7; round += 1) {
      const region = await device.allocate(COPY_BYTES);
      const started = performance.now();
      for (let offset = 0; offset < COPY_BYTES; offset += CHUNK) await region.write(offset, bytes);
      rates.push(COPY_BYTES / 1e6 / (performance.now() - started));
      await region.release();
    }
    return `${median(rates).toFixed(1)} GB/s`;
  } finally {
    await device.close();
  }
}

import { describe, expect, it } from 'vitest';
import type { DeviceLost } from '../../../src/device/types.js';
import { createPortableEngine, type DigestEngine, type DigestStream } from '../../../src/digest/index.js';
import { bytesSource } from '../../../src/source/index.js';
import { failure, openHost, overlay, pattern, regionsOf } from './fixture.js';

const STALL_MS = 5000;
const bytes = pattern(600_000);
const never = new Promise<never>(() => undefined);

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

type Call = 'update' | 'finish' | 'leaves' | 'nodes';

/** An engine of the caller's own, one call of which does not answer once it is told so. */
function stallingEngine(call: Call): { engine: DigestEngine; stall: () => void; asked: () => number } {
  const inner = createPortableEngine();
  let stalling = false;
  let asked = 0;
  const hang = <A extends readonly unknown[], T>(
    name: Call,
    act: (...args: A) => Promise<T>,
  ): ((...args: A) => Promise<T>) => {
    return (...args) => {
      if (!stalling || name !== call) return act(...args);
      asked++;
      return never;
    };
  };
  const stream = (made: DigestStream): DigestStream => ({
    update: hang('update', (chunk: Uint8Array) => made.update(chunk)),
    finish: hang('finish', () => made.finish()),
    abort: () => made.abort(),
  });
  const engine = overlay(inner, {
    start: (request: Parameters<DigestEngine['start']>[0]) => stream(inner.start(request)),
    leaves: hang('leaves', (blocks: Uint8Array) => inner.leaves(blocks)),
    nodes: hang('nodes', (hashes: Uint8Array) => inner.nodes(hashes)),
  });
  return {
    engine,
    stall: () => {
      stalling = true;
    },
    asked: () => asked,
  };
}

async function opened(call: Call) {
  const { engine, stall, asked } = stallingEngine(call);
  let lose = (): void => undefined;
  const lost = new Promise<DeviceLost>((resolve) => {
    lose = () => resolve({ reason: 'lost', message: 'it fell off the bus' });
  });
  const seen = regionsOf((device) => overlay(device, { lost }));
  const { manager, clock } = await openHost({ wrap: seen.wrap, options: { engine, stallMs: STALL_MS } });
  return { manager, clock, seen, stall, asked, lose };
}

describe("an engine of the caller's own that hangs", () => {
  it.each([
    ['update', 'limit', 'INVALID_INPUT'],
    ['finish', 'limit', 'INVALID_INPUT'],
    ['update', 'close', 'STOPPED'],
    ['finish', 'loss', 'DEVICE_LOST'],
  ] as const)('in %s of a seal is given up at the %s: %s', async (call, what, code) => {
    const { manager, clock, stall, asked, lose } = await opened(call);
    stall();
    const sealing = failure(manager.seal(bytesSource(bytes)));
    await until(() => asked() > 0);
    if (what === 'limit') clock.turn(STALL_MS);
    else if (what === 'loss') lose();
    else void manager.close();
    expect(await sealing).toMatchObject({ code });
    const { liveShards, abandonedCalls } = manager.status();
    expect(liveShards).toBe(0);
    expect(abandonedCalls.total - abandonedCalls.settled).toBe(1);
    await manager.close();
  });

  it.each(['nodes', 'leaves'] as const)('in %s of a verification hides no damage', async (call) => {
    const { manager, clock, seen, stall, asked } = await opened(call);
    const shard = await manager.seal(bytesSource(bytes), { shardId: 'a' });
    await seen.flip(0, 1, 1);
    stall();
    const verifying = failure(manager.verify(shard, { source: bytesSource(bytes) }));
    await until(() => asked() > 0);
    clock.turn(STALL_MS);
    expect(await verifying).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(manager.status().quarantined).toEqual(['a']);
    await manager.close();
  });
});

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MemorySink } from '../../../../src/audit/write/memory-sink.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { memoryLogSource } from '../../../support/memory-log-source.js';
import { event, WORKER } from '../events.js';
import { NOW, newChain, ORIGIN, start, verified } from './log-fixture.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe('a log in memory', () => {
  it('has its segments as files, its records and its checkpoint', async () => {
    const { log, memory } = await start();
    expect([memory.name, memory.latestCheckpoint, memory.segments(), memory.records()]).toEqual([
      'memory',
      null,
      [],
      [],
    ]);
    void log.on(verified());
    await log.flush();
    void log.on(verified());
    void log.on(event('seal.verified', { at: '2026-02-01T00:00:00.000Z' }));
    const head = await log.head();
    expect(memory.latestCheckpoint).toMatchObject({ origin: ORIGIN, size: 3, note: head.checkpoint });
    expect(memory.records().map(({ seq, epoch }) => [seq, epoch])).toEqual([
      [0, 0],
      [1, 0],
      [2, 1],
    ]);
    const segments = memory.segments();
    expect(
      segments.map(({ stem, bytes }) => [stem, new TextDecoder().decode(bytes).split('\n').length]),
    ).toEqual([
      ['0000000000000000-2026-01-31', 3],
      ['0000000000000002-2026-02-01', 2],
    ]);
    const source = memoryLogSource(nodeCrypto, segments, head.checkpoint);
    expect([source.prunedStems, source.stems, source.checkpoint, source.retainedHashes('x')]).toEqual([
      [],
      segments.map(({ stem }) => stem),
      head.checkpoint,
      [],
    ]);
    const job = { stem: segments[1]?.stem ?? '', workerId: WORKER, epoch: 1, macKey: null, snapshots: [] };
    expect(await source.run(job)).toMatchObject({ records: 1, bad: null });
  });

  it('keeps what it was given, whatever becomes of the list, and says what is not a record', async () => {
    const { chain } = await newChain();
    const { segment, bytes } = await chain.append({
      type: 'audit.closed',
      severity: 'HIGH',
      ts: NOW,
      correlationId: null,
      traceparent: null,
      data: {},
    });
    const sink = new MemorySink();
    const lines = [bytes];
    await sink.append({ segment, firstSeq: 0, lines });
    lines.push(bytes);
    expect(sink.records()).toHaveLength(1);
    expect(await Promise.all([sink.sync(), sink.close()])).toEqual([undefined, undefined]);
    await sink.append({ segment, firstSeq: 1, lines: [new TextEncoder().encode('x\n')] });
    expect(() => sink.records()).toThrow('the log holds a line that is not-json');
  });
});

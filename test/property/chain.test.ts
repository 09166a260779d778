import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { verifyLog } from '../../src/audit/index.js';
import { MemorySink } from '../../src/audit/write/memory-sink.js';
import { auditObserver } from '../../src/audit/write/observer.js';
import type { EventPayloads, OperationEvent } from '../../src/events/events.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { sampleEvent } from '../support/events.js';
import { memoryLogSource } from '../support/memory-log-source.js';
import { propertyRuns } from '../support/property-runs.js';
import { testSigner } from '../unit/audit/signer.js';

const token = (): Uint8Array => new Uint8Array(32).fill(3);
const AUDITED = [
  'vram.allocated',
  'vram.sealed',
  'seal.verified',
  'seal.verification_failed',
  'vram.deallocated',
  'policy.violation',
  'shard.quarantined',
] as const satisfies (keyof EventPayloads)[];

const events: fc.Arbitrary<OperationEvent[]> = fc.array(
  fc
    .tuple(fc.constantFrom(...AUDITED), fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }))
    .map(([type, modelRef]) => sampleEvent(type, { modelRef })),
  { minLength: 1, maxLength: 12 },
);

async function written(all: readonly OperationEvent[]) {
  const sink = new MemorySink();
  const log = await auditObserver({
    sink,
    workerId: 'worker-1',
    token: token(),
    crypto: nodeCrypto,
    signer: testSigner(5),
  });
  for (const event of all) await log.on(event);
  await log.head();
  await log.close();
  const [{ stem, bytes } = { stem: '', bytes: new Uint8Array() }] = sink.segments();
  const checkpoint = sink.latestCheckpoint?.note ?? null;
  const verify = (content: Uint8Array) =>
    verifyLog(nodeCrypto, memoryLogSource(nodeCrypto, [{ stem, bytes: content }], checkpoint), {
      token: token(),
    });
  return { sink, bytes, verify };
}

describe('[AU-002] the chain', () => {
  it('of any events verifies, holds them in order, and every changed byte, cut or exchanged line is found', async () => {
    await fc.assert(
      fc.asyncProperty(events, fc.nat(), fc.integer({ min: 1, max: 255 }), async (all, where, mask) => {
        const { sink, bytes, verify } = await written(all);
        expect(await verify(bytes)).toMatchObject({ ok: true, chain: 'verified', records: all.length + 2 });
        expect(
          sink
            .records()
            .slice(1, -1)
            .map(({ type }) => type),
        ).toEqual(all.map(({ type }) => type));
        const changed = bytes.slice();
        const at = where % changed.length;
        changed[at] = (changed[at] ?? 0) ^ mask;
        const line = bytes.subarray(0, at).filter((byte) => byte === 0x0a).length;
        const report = await verify(changed);
        expect(report.ok).toBe(false);
        // Never later than where it is; a broken newline shows at the line that it ends.
        expect(report.bad?.seq ?? Number.POSITIVE_INFINITY).toBeLessThanOrEqual(line);
        const lines = new TextDecoder().decode(bytes).trimEnd().split('\n');
        const join = (parts: readonly string[]) => new TextEncoder().encode(`${parts.join('\n')}\n`);
        const drop = where % lines.length;
        expect(await verify(join(lines.filter((_, index) => index !== drop)))).toMatchObject({ ok: false });
        expect(await verify(join(lines.toSpliced(drop, 0, lines[drop] ?? '')))).toMatchObject({
          ok: false,
        });
        expect(await verify(join(lines.toReversed()))).toMatchObject({ ok: false });
      }),
      { numRuns: propertyRuns(40) },
    );
  });
});

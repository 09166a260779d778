import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseCheckpoint, parseOrigin } from '../../src/audit/format/checkpoint.js';
import { splitLines } from '../../src/audit/format/lines.js';
import { parseNote, parseVerifierKey } from '../../src/audit/format/note.js';
import { parseLine } from '../../src/audit/format/record.js';
import { parseStem } from '../../src/audit/format/segment.js';
import { verifyProofDocument } from '../../src/audit/verify/proof-document.js';
import { verifyLog } from '../../src/audit/verify/verifier.js';
import { isVramError } from '../../src/base/errors.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { memoryLogSource } from '../support/memory-log-source.js';
import { propertyRuns } from '../support/property-runs.js';
import { TOKEN } from '../unit/audit/events.js';
import { makeVectors } from '../unit/audit/vectors.js';

const vectors = await makeVectors();
const good = vectors.segments.flatMap(({ lines }) => lines);

/** Good text with a few places changed, or anything at all. */
function hostile(...samples: readonly string[]): fc.Arbitrary<string> {
  const mutated = fc
    .tuple(
      fc.constantFrom(...samples),
      fc.array(fc.tuple(fc.nat(), fc.string({ maxLength: 4 }), fc.nat(6)), { maxLength: 4 }),
    )
    .map(([sample, edits]) =>
      edits.reduce((text, [at, put, drop]) => {
        const place = at % (text.length + 1);
        return text.slice(0, place) + put + text.slice(place + drop);
      }, sample),
    );
  return fc.oneof({ weight: 4, arbitrary: mutated }, fc.string({ unit: 'binary' }), fc.json());
}

async function refusesOnly(action: () => unknown): Promise<void> {
  try {
    await action();
  } catch (error) {
    expect(isVramError(error, 'INVALID_INPUT'), String(error)).toBe(true);
  }
}

describe('what others wrote', () => {
  it('lines are records or have a fault; an accepted line is byte for byte what it says', () => {
    fc.assert(
      fc.property(hostile(...good), (line) => {
        const bytes = new TextEncoder().encode(line);
        const parsed = parseLine(bytes);
        // What the bytes say: an edit may cut a surrogate pair in two, and half of one has no UTF-8.
        if (typeof parsed !== 'string')
          expect(JSON.stringify(parsed.record)).toBe(new TextDecoder().decode(bytes));
      }),
      { numRuns: propertyRuns(1_500) },
    );
  });

  it('notes, checkpoints, keys, origins, names and proofs are read or refused', async () => {
    const proofs = [vectors.inclusion, vectors.consistency].map((proof) => JSON.stringify(proof));
    await fc.assert(
      fc.asyncProperty(
        hostile(...vectors.checkpoints),
        hostile(vectors.verifierKey),
        hostile(...proofs),
        async (note, key, proof) => {
          await refusesOnly(() => parseNote(note));
          await refusesOnly(() => parseCheckpoint(note));
          await refusesOnly(() => parseOrigin(note.split('\n')[0] ?? ''));
          await refusesOnly(() => parseVerifierKey(nodeCrypto, key));
          await refusesOnly(async () => {
            const report = await verifyProofDocument(nodeCrypto, proof, vectors.verifierKey);
            // Whatever still verifies proves one of the records, unchanged.
            if (report.ok && report.kind === 'inclusion') expect(good).toContain(report.leaf);
          });
          parseStem(key);
        },
      ),
      { numRuns: propertyRuns(400) },
    );
  });

  it('a log of anything gives a report; one that is not the log of the vectors is never good', async () => {
    const whole = vectors.segments.map(({ lines }) => lines.map((line) => `${line}\n`).join(''));
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...vectors.segments.keys()),
        hostile(...whole),
        hostile(vectors.checkpoints.at(-1) ?? ''),
        fc.boolean(),
        async (which, content, checkpoint, replaceCheckpoint) => {
          const segments = vectors.segments.map(({ stem }, index) => ({
            stem,
            bytes: new TextEncoder().encode(index === which ? content : (whole[index] ?? '')),
          }));
          const note = replaceCheckpoint ? checkpoint : (vectors.checkpoints.at(-1) ?? '');
          const source = memoryLogSource(nodeCrypto, segments, note);
          const report = await verifyLog(nodeCrypto, source, {
            token: TOKEN,
            verifierKey: vectors.verifierKey,
          });
          if (report.ok) expect(content).toBe(whole[which]);
        },
      ),
      { numRuns: propertyRuns(300) },
    );
  });

  it('lines are cut the same whatever the chunks, and memory stays bounded', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.string({ maxLength: 30 }), fc.constant('\n')), { maxLength: 30 }),
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 10 }),
        async (parts, sizes) => {
          const bytes = new TextEncoder().encode(parts.join(''));
          const chunks: Uint8Array[] = [];
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const size = sizes[i % sizes.length] ?? 1;
            chunks.push(bytes.slice(at, at + size));
            at += size;
          }
          const found: string[] = [];
          for await (const lines of splitLines(chunks, 1_000)) {
            for (const line of lines) {
              expect(bytes.subarray(line.offset, line.offset + line.bytes.length)).toEqual(
                Uint8Array.from(line.bytes),
              );
              found.push(new TextDecoder().decode(line.bytes) + (line.terminated ? '\n' : ''));
            }
          }
          expect(found.join('')).toBe(new TextDecoder().decode(bytes));
        },
      ),
      { numRuns: propertyRuns(300) },
    );
    let longest = 0;
    const endless = function* (): Generator<Uint8Array> {
      for (let i = 0; i < 200; i++) yield new Uint8Array(1_000).fill(0x61);
      yield new TextEncoder().encode('\nlast\n');
    };
    const lines: string[] = [];
    for await (const batch of splitLines(endless(), 5_000)) {
      for (const { bytes, terminated } of batch) {
        longest = Math.max(longest, bytes.length);
        lines.push(`${bytes.length} ${terminated}`);
      }
    }
    expect(longest).toBeLessThanOrEqual(6_000);
    expect(lines).toEqual([`${longest} false`, '4 true']);
  });
});

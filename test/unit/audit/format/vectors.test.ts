import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { AUDIT_CATALOGUE, AUDIT_TYPES } from '../../../../src/audit/format/catalogue.js';
import { AUDIT_COMMON_FIELDS, AUDIT_DESCRIPTIONS } from '../../../../src/audit/format/descriptions.js';
import { verifyLog, verifyProofDocument } from '../../../../src/audit/index.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { memoryLogSource } from '../../../support/memory-log-source.js';
import { naiveChain, naiveCheckpoint, naiveRoot } from '../oracle.js';
import { testSigner } from '../signer.js';
import { makeVectors } from '../vectors.js';

type Vectors = Awaited<ReturnType<typeof makeVectors>>;

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');
const frozen = JSON.parse(read('../../../vectors/audit.json')) as Vectors;

describe('frozen vectors of the audit formats', () => {
  it('are what is written today, byte for byte', async () => {
    expect(await makeVectors()).toEqual(frozen);
  });

  it('hold by the definitions alone', () => {
    const lines = frozen.segments.flatMap((segment) => segment.lines);
    expect(lines).toHaveLength(5);
    expect(naiveChain(Buffer.from(frozen.token, 'hex'), frozen.workerId, frozen.logId, lines)).toBe(-1);
    const { publicKey } = testSigner(Number.parseInt(frozen.signerSeed.slice(0, 2), 16));
    for (const note of frozen.checkpoints) {
      const { size, root, origin } = naiveCheckpoint(note, publicKey);
      expect(origin).toBe(`vram-residency/${frozen.workerId}/${frozen.logId}`);
      expect(root).toEqual(naiveRoot(lines.slice(0, size).map((line) => Buffer.from(line))));
    }
  });

  it('are verified by every release', async () => {
    const segments = frozen.segments.map(({ stem, lines }) => ({
      stem,
      bytes: new TextEncoder().encode(lines.map((line) => `${line}\n`).join('')),
    }));
    const source = memoryLogSource(nodeCrypto, segments, frozen.checkpoints.at(-1) ?? null);
    const options = { token: Buffer.from(frozen.token, 'hex'), verifierKey: frozen.verifierKey };
    for (const checkpoint of frozen.checkpoints) {
      expect(await verifyLog(nodeCrypto, source, { ...options, checkpoint })).toMatchObject({
        ok: true,
        records: 5,
      });
    }
    for (const proof of [frozen.inclusion, frozen.consistency]) {
      expect(await verifyProofDocument(nodeCrypto, JSON.stringify(proof), frozen.verifierKey)).toMatchObject({
        ok: true,
      });
    }
  });
});

describe('docs/audit.md', () => {
  it('has the table of the catalogue', () => {
    const documentation = read('../../../../docs/audit.md');
    const block = /<!-- catalogue -->\n([\s\S]*?)\n<!-- end of catalogue -->/.exec(documentation)?.[1];
    expect(block).toBe(catalogueTable());
  });

  it('names every fault of a verification', () => {
    const documentation = read('../../../../docs/audit.md');
    const faults =
      /export type AuditFault =([^;]+);/.exec(
        read('../../../../src/audit/verify/segment-verifier.ts'),
      )?.[1] ?? '';
    const names = [...faults.matchAll(/'([a-z-]+)'/g)].map(([, name]) => name ?? '');
    expect(names.length).toBeGreaterThan(15);
    for (const name of names) expect(documentation).toContain(`\`${name}\``);
  });
});

/** The catalogue as the documentation has it. */
function catalogueTable(): string {
  const list = (fields: readonly (readonly [string, string])[]): string =>
    fields.map(([field, what]) => `\`${field}\`: ${what}`).join('; ');
  const rows = AUDIT_TYPES.map((type) => {
    const { severity } = AUDIT_CATALOGUE[type];
    const { summary, fields, tensorFields = {} } = AUDIT_DESCRIPTIONS[type];
    const more = Object.entries(tensorFields);
    const ofTensors = more.length === 0 ? '' : `. Of tensors also ${list(more)}`;
    return `| \`${type}\` | ${severity} | ${summary} | ${list(Object.entries(fields))}${ofTensors} |`;
  });
  const common = `In every record of an operation: ${list(Object.entries(AUDIT_COMMON_FIELDS))}.`;
  return [common, '', '| type | severity | when | data |', '|---|---|---|---|', ...rows].join('\n');
}

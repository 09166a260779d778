import { describe, expect, it } from 'vitest';
import { parseCheckpoint } from '../../../../src/audit/format/checkpoint.js';
import {
  consistencyDocument,
  inclusionDocument,
  parseProof,
} from '../../../../src/audit/verify/proof-document.js';
import { refusal } from '../../../support/refusal.js';
import { makeVectors } from '../vectors.js';

describe('a proof as a document', () => {
  it('has exactly its fields, written and read', async () => {
    const { inclusion, consistency, checkpoints } = await makeVectors();
    const [, old, head] = checkpoints.map((note) => parseCheckpoint(note).checkpoint);
    if (old === undefined || head === undefined) throw new Error('the log has too few checkpoints');
    const hashes = [new Uint8Array(32), new Uint8Array(32).fill(255)];
    const texts = [`${'A'.repeat(43)}=`, `${'/'.repeat(42)}8=`];
    expect(inclusionDocument(head, 2, 'a line', hashes)).toEqual({
      v: 1,
      kind: 'inclusion',
      origin: head.origin,
      index: 2,
      treeSize: 5,
      leaf: 'a line',
      hashes: texts,
      checkpoint: head.note,
    });
    expect(consistencyDocument(old, head, hashes)).toEqual({
      v: 1,
      kind: 'consistency',
      origin: head.origin,
      oldSize: 3,
      newSize: 5,
      hashes: texts,
      oldCheckpoint: old.note,
      checkpoint: head.note,
    });
    expect(parseProof(JSON.stringify(inclusion))).toEqual(inclusion);
    expect(parseProof(JSON.stringify(consistency))).toEqual(consistency);
    expect(parseProof(JSON.stringify({ ...inclusion, index: 0, treeSize: 0, leaf: '', hashes: [] }))).toEqual(
      {
        ...inclusion,
        index: 0,
        treeSize: 0,
        leaf: '',
        hashes: [],
      },
    );
  });

  it('says which of its fields is wrong', async () => {
    const { inclusion, consistency } = await makeVectors();
    const wrong: [object, string][] = [
      [{ ...inclusion, v: 2 }, 'must have "v": 1'],
      [{ ...inclusion, kind: 'other' }, 'must have the kind "inclusion" or "consistency"'],
      [{ ...inclusion, hashes: 'x' }, 'must have a list in "hashes"'],
      [{ ...inclusion, hashes: undefined }, 'must have a list in "hashes"'],
      [{ ...inclusion, hashes: ['AAAA', 1] }, 'must have text in "hashes"'],
    ];
    for (const field of ['origin', 'checkpoint', 'leaf']) {
      wrong.push([{ ...inclusion, [field]: 7 }, `must have text in "${field}"`]);
    }
    wrong.push([{ ...consistency, oldCheckpoint: null }, 'must have text in "oldCheckpoint"']);
    for (const value of [-1, 0.5, '1', null, undefined]) {
      for (const field of ['index', 'treeSize']) {
        wrong.push([{ ...inclusion, [field]: value }, `must have a count in "${field}"`]);
      }
      for (const field of ['oldSize', 'newSize']) {
        wrong.push([{ ...consistency, [field]: value }, `must have a count in "${field}"`]);
      }
    }
    for (const [document, problem] of wrong) {
      expect(await refusal(() => parseProof(JSON.stringify(document))), problem).toBe(
        `INVALID_INPUT: "proof" ${problem}`,
      );
    }
    expect(await refusal(() => parseProof('[]'))).toBe('INVALID_INPUT: proof must be a JSON object');
  });

  it('has at most 262,144 characters', async () => {
    const text = JSON.stringify((await makeVectors()).inclusion);
    expect(parseProof(text.padEnd(262_144))).toMatchObject({ kind: 'inclusion' });
    expect(await refusal(() => parseProof(text.padEnd(262_145)))).toBe(
      'INVALID_INPUT: "proof" must be at most 262144 characters',
    );
  });
});

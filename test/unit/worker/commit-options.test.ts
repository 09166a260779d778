import { describe, expect, it } from 'vitest';
import {
  type CommitOptions,
  checkCommitOptions,
  checkName,
  type SourceModel,
} from '../../../src/worker/models/index.js';

function model(files: number): SourceModel {
  const shard = { label: 's', byteLength: 1, open: () => Promise.reject(new Error('not opened here')) };
  const shards = Array.from({ length: files }, () => shard);
  return { label: 'm', byteLength: files, files: null, isOnnx: false, shards };
}

const OPTIONS: CommitOptions = { expected: null, hashing: 'host', part: null, layout: 'files', share: false };

function refused(argument: string, words: string) {
  return expect.objectContaining({
    name: 'VramError',
    code: 'INVALID_INPUT',
    argument,
    message: `"${argument}" ${words}`,
  });
}

describe('the name of a model', () => {
  it.each(['a', '7', 'A._-9', 'm'.repeat(128)])('may be %j', (name) => {
    expect(checkName(name)).toBe(name);
  });

  it.each(['', '-a', '.a', '_a', 'a/b', 'a b', 'a\n', 'm'.repeat(129)])('may not be %j', (name) => {
    expect(() => checkName(name)).toThrow(
      refused('name', 'must be 1 to 128 of [A-Za-z0-9._-] and begin with a letter or digit'),
    );
  });
});

describe('how a model is sealed', () => {
  it.each<[Partial<CommitOptions>, number]>([
    [{}, 1],
    [{}, 1024],
    [{ expected: ['a', 'b'] }, 2],
    [{ expected: ['a'], hashing: 'device' }, 1],
    [{ layout: 'tensors' }, 3],
    [{ part: { index: 0, of: 1 } }, 1],
    [{ part: { index: 1023, of: 1024 } }, 1],
    [{ part: { index: 0, of: 2 }, layout: 'tensors' }, 3],
  ])('may be %j over %d files', (options, files) => {
    checkCommitOptions({ ...OPTIONS, ...options }, model(files));
  });

  it.each<[Partial<CommitOptions>, number, string, string]>([
    [{ expected: ['a'] }, 2, 'expected', 'names 1 digests, but the model has 2 files'],
    [
      { layout: 'tensors', hashing: 'device', expected: ['a'] },
      1,
      'hashing',
      'must be "host" with layout "tensors": published files have no such digest',
    ],
    [
      { hashing: 'device' },
      1,
      'expected',
      'is needed with hashing "device": the fsverity digest of every file',
    ],
    [{}, 1025, 'path', 'names a model of 1025 files; at most 1024 can be one model here'],
    [{ part: { index: 0, of: 2 } }, 2, 'part', 'needs a model of one file: each part of a set is one shard'],
    [{ part: { index: 0, of: 0 } }, 1, 'part.of', 'must be an integer from 1 to 1024, got 0'],
    [{ part: { index: 0, of: 1025 } }, 1, 'part.of', 'must be an integer from 1 to 1024, got 1025'],
    [{ part: { index: -1, of: 2 } }, 1, 'part.index', 'must be an integer from 0 to 1, got -1'],
    [{ part: { index: 2, of: 2 } }, 1, 'part.index', 'must be an integer from 0 to 1, got 2'],
  ])('may not be %j over %d files', (options, files, argument, words) => {
    expect(() => checkCommitOptions({ ...OPTIONS, ...options }, model(files))).toThrow(
      refused(argument, words),
    );
  });
});

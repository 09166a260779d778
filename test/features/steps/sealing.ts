import { VramError } from '../../../src/base/errors.js';
import { bytesSource, type Source } from '../../../src/source/index.js';
import type { StepBook } from '../gherkin.js';
import { fsverityOf, sha256Of } from '../oracles.js';
import { unescapeText, type World, weightsOf } from '../world.js';

/** Sealing, in all the ways that a caller can ask for it. */
export function sealingSteps(book: StepBook<World>): void {
  book.define('a sealed shard {string} of {size}', async (world, values) => {
    const name = values.text(0);
    await world.seal(name, weightsOf(name, values.number(1)));
  });

  book.define('the sealed shards {string} of {size} each', async (world, values) => {
    for (const name of values.text(0).split(', ')) await world.seal(name, weightsOf(name, values.number(1)));
  });

  book.define('{size} of {content} is/are sealed as {string}', async (world, values) => {
    const byteLength = values.number(0);
    const name = values.text(2);
    const bytes =
      values.text(1) === 'weights'
        ? weightsOf(name, byteLength)
        : new Uint8Array(byteLength).fill(values.text(1) === 'zeros' ? 0 : 0xff);
    await world.attempt(() => world.seal(name, bytes));
  });

  book.define('weights are sealed under the id {string}', async (world, values) => {
    const shardId = unescapeText(values.text(0));
    await world.attempt(() => world.seal(shardId, weightsOf('x', 100)));
  });

  book.define('weights are sealed under an id of {int} characters', async (world, values) => {
    await world.attempt(() =>
      world.seal('long', weightsOf('x', 100), { shardId: 'a'.repeat(values.number(0)) }),
    );
  });

  book.define('weights are sealed for the model {string}', async (world, values) => {
    await world.attempt(() =>
      world.seal('x', weightsOf('x', 100), { modelRef: unescapeText(values.text(0)) }),
    );
  });

  book.define('{size} of weights are sealed as {string}, expecting {expectation}', async (world, values) => {
    const name = values.text(1);
    const bytes = weightsOf(name, values.number(0));
    await world.attempt(() => world.seal(name, bytes, { expected: expected(values.text(2), bytes) }));
  });

  book.define('weights are sealed from a source that {misbehaviour}', async (world, values) => {
    const bytes = weightsOf('bad', 20_000);
    await world.attempt(() =>
      world.sealSource('bad', bytes, misbehaving(values.text(0), bytes), { shardId: 'bad' }),
    );
  });

  book.define('weights are sealed as part {int} of {int} of the model {string}', async (world, values) => {
    const name = `${values.text(2)}-${values.number(0)}`;
    await world.attempt(() =>
      world.seal(name, weightsOf(name, 5000), {
        modelRef: values.text(2),
        shardIndex: values.number(0),
        totalShards: values.number(1),
      }),
    );
  });

  book.define('sealing {string} is aborted halfway', async (world, values) => {
    const abort = new AbortController();
    const name = values.text(0);
    await world.attempt(() =>
      world.seal(name, weightsOf(name, 50_000), {
        signal: abort.signal,
        onProgress: () => abort.abort(),
      }),
    );
  });

  book.define('the device fails in its next {deviceStep}', (world, values) => {
    const step = values.text(0);
    if (step === 'write' || step === 'freeze' || step === 'root') world.failNext = step;
  });

  book.define('the device gives {int} wrong digest(s)', (world, values) => {
    world.wrongRoots = values.number(0);
  });
}

function expected(expectation: string, bytes: Uint8Array): string | readonly string[] {
  const other = bytes.map((byte) => byte ^ 0xff);
  switch (expectation) {
    case 'their sha256':
      return `sha256:${sha256Of(bytes)}`;
    case 'their fs-verity digest':
      return fsverityOf(bytes);
    case 'both of their digests':
      return [`sha256:${sha256Of(bytes)}`, fsverityOf(bytes)];
    case 'the sha256 of other weights':
      return `sha256:${sha256Of(other)}`;
    case 'the fs-verity digest of other weights':
      return fsverityOf(other);
    case 'a digest of half the length':
      return `sha256:${sha256Of(bytes).slice(0, 32)}`;
    default:
      return `md5:${sha256Of(bytes).slice(0, 32)}`;
  }
}

function misbehaving(misbehaviour: string, bytes: Uint8Array): Source {
  const source = bytesSource(bytes);
  const half = Math.floor(bytes.length / 2);
  switch (misbehaviour) {
    case 'changes while it is read':
      return {
        ...source,
        unchanged: async () => {
          throw new VramError('SOURCE_MISMATCH', 'the file has changed since it was opened');
        },
      };
    case 'ends too soon':
      return {
        ...source,
        async *stream() {
          yield bytes.subarray(0, half);
        },
      };
    case 'gives more than it announced':
      return {
        ...source,
        async *stream() {
          yield bytes;
          yield bytes;
        },
      };
    default:
      return {
        ...source,
        async *stream() {
          yield bytes.subarray(0, half);
          throw new VramError('SOURCE_MISMATCH', 'the disk gave an error');
        },
      };
  }
}

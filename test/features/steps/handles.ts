import type { StepBook } from '../gherkin.js';
import { TAMPERINGS } from '../parameters.js';
import { unescapeText, type World } from '../world.js';

/** What callers do with handles: verify, present changed ones, execute, release. */
export function handleSteps(book: StepBook<World>): void {
  book.define('{string} is verified', async (world, values) => {
    await world.attempt(() => world.manager.verify(world.shard(values.text(0)).handle));
  });

  book.define('{string} is verified under the correlation id {string}', async (world, values) => {
    const correlationId = values.text(1);
    await world.attempt(() => world.manager.verify(world.shard(values.text(0)).handle, { correlationId }));
  });

  book.define('{string} is verified by reading its bytes back', async (world, values) => {
    await world.attempt(() => world.manager.verify(world.shard(values.text(0)).handle, { mode: 'readback' }));
  });

  book.define('a sample of {int} groups of {string} is verified', async (world, values) => {
    const groups = values.number(0);
    const { handle } = world.shard(values.text(1));
    await world.attempt(() => world.manager.verify(handle, { mode: 'sampled', groups }));
  });

  book.define(
    'the handle of {string} is stored as JSON text, and that text is verified',
    async (world, values) => {
      const text = JSON.stringify(world.shard(values.text(0)).handle, null, 2);
      await world.attempt(() => world.manager.verify(text));
    },
  );

  book.define(
    'the handle of {string} is verified with {string} changed to {string}',
    async (world, values) => {
      const fields = new Map<string, unknown>(Object.entries(world.shard(values.text(0)).handle.toJSON()));
      const [field, inner] = values.text(1).split('.');
      if (field === undefined || !fields.has(field)) throw new Error(`a handle has no field "${field}"`);
      const value: unknown = JSON.parse(unescapeText(values.text(2)));
      const device: unknown = fields.get('device');
      fields.set(field, inner === undefined ? value : { ...asObject(device), [inner]: value });
      await world.attempt(() => world.manager.verify(JSON.stringify(Object.fromEntries(fields))));
    },
  );

  book.define('the handle of {string} is verified without its {string}', async (world, values) => {
    const fields = Object.entries(world.shard(values.text(0)).handle.toJSON());
    const left = Object.fromEntries(fields.filter(([field]) => field !== values.text(1)));
    await world.attempt(() => world.manager.verify(JSON.stringify(left)));
  });

  book.define('the handle of {string} is verified with an extra field', async (world, values) => {
    const handle = { ...world.shard(values.text(0)).handle.toJSON(), trusted: true };
    await world.attempt(() => world.manager.verify(JSON.stringify(handle)));
  });

  book.define('the handle of {string} is verified with its signature {tampering}', async (world, values) => {
    const json = world.shard(values.text(0)).handle.toJSON();
    const other = [...world.shards.values()].find(({ handle }) => handle.sealId !== json.sealId)?.handle
      .signature;
    const tamper = TAMPERINGS[values.text(1)];
    if (tamper === undefined) throw new Error('an unknown way to tamper');
    const signature = tamper(json.signature, other ?? '');
    await world.attempt(() => world.manager.verify(JSON.stringify({ ...json, signature })));
  });

  book.define('{string} is verified as a handle', async (world, values) => {
    await world.attempt(() => world.manager.verify(values.text(0)));
  });

  book.define('the second worker verifies {string}', async (world, values) => {
    const { second } = world;
    if (second === null) throw new Error('there is no second worker');
    await world.attempt(() => second.verify(world.shard(values.text(0)).handle));
  });

  book.define('the set {string} is verified', async (world, values) => {
    await world.attempt(() => world.manager.verifySet(values.text(0)));
  });

  book.define('work runs on {string}', async (world, values) => {
    await world.attempt(() => execute(world, values.text(0)));
  });

  book.define(
    'work runs on {string}, accepting a verification of the last {int} seconds',
    async (world, values) => {
      await world.attempt(() => execute(world, values.text(0), { maxAgeMs: values.number(1) * 1000 }));
    },
  );

  book.define('{int} seconds pass', (world, values) => {
    world.clock.turn(values.number(0) * 1000);
  });

  book.define('{string} is released', async (world, values) => {
    const { handle } = world.shard(values.text(0));
    await world.attempt(() => world.manager.release(handle));
    world.released.set(values.text(0), world.shard(values.text(0)));
    world.shards.delete(values.text(0));
  });

  book.define('the released {string} is verified', async (world, values) => {
    await world.attempt(() => world.manager.verify(released(world, values.text(0))));
  });

  book.define('the released {string} is released again', async (world, values) => {
    await world.attempt(() => world.manager.release(released(world, values.text(0))));
  });
}

export async function execute(
  world: World,
  name: string,
  options: { maxAgeMs?: number } = {},
): Promise<string> {
  return await world.manager.execute(
    world.shard(name).handle,
    (lease) => {
      world.executions++;
      return lease.shard.shardId;
    },
    options,
  );
}

function released(world: World, name: string): string {
  const shard = world.released.get(name);
  if (shard === undefined) throw new Error(`"${name}" was not released`);
  return JSON.stringify(shard.handle);
}

function asObject(value: unknown): object {
  if (typeof value !== 'object' || value === null) throw new Error('not an object');
  return value;
}

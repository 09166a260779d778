import { ShareServer, type ShareServerOptions } from '../../../src/handover/index.js';
import type { SealedShard } from '../../../src/seal/index.js';
import { bytesSource } from '../../../src/source/index.js';
import { type Opened, openHost, pattern, type Recorder } from '../manager/fixture.js';
import { type MemoryClient, MemoryTransport, type Said, settle } from './memory-transport.js';
import { type SharedRegion, sharingDevice } from './shared-device.js';

export interface Shared extends Opened {
  readonly transport: MemoryTransport;
  readonly server: ShareServer;
  readonly shard: SealedShard;
  readonly regions: SharedRegion[];
  readonly recorder: Recorder;
}

export const BYTES = 3 * 4096 + 17;

/** A manager with one shared shard, `weights`, offered as `model`. */
export async function share(
  options: Partial<ShareServerOptions> = {},
  open: Parameters<typeof openHost>[0] = {},
): Promise<Shared> {
  const regions: SharedRegion[] = [];
  const opened = await openHost({
    ...open,
    wrap: (device) => sharingDevice(device, regions),
  });
  const shard = await opened.manager.seal(bytesSource(pattern(BYTES)), { shardId: 'weights', share: true });
  const transport = new MemoryTransport();
  const server = await ShareServer.open(
    opened.manager,
    { socket: '/run/share.sock', models: { model: shard }, ...options },
    transport,
  );
  return { ...opened, transport, server, shard, regions };
}

export const HELLO = { type: 'hello', versions: [1], client: 'engine' };

/** Closes the manager; clients that still hold a lease are waited for as long as it takes by its clock. */
export async function closeAll({ manager, clock }: Pick<Shared, 'manager' | 'clock'>): Promise<void> {
  const closing = manager.close();
  await settle();
  clock.turn(30_000);
  await closing;
}

/** A client that has a lease. */
export async function borrower({ transport }: Shared, model = 'model'): Promise<MemoryClient> {
  const client = await transport.connect();
  await client.say(HELLO);
  await client.say({ type: 'lend', model });
  await receive(client);
  return client;
}

/** Answers every `shard` with `received` until `lent` comes. */
export async function receive(client: MemoryClient): Promise<void> {
  for (let turn = 0; turn < 200 && client.last('lent') === undefined; turn++) {
    const shards = client.said.filter(({ type }) => type === 'shard');
    const shard: Said | undefined = shards[receivedBy.get(client) ?? 0];
    if (shard === undefined) {
      if (client.closed !== null || client.last('error') !== undefined) break;
      await settle();
      continue;
    }
    receivedBy.set(client, (receivedBy.get(client) ?? 0) + 1);
    await client.say({ type: 'received', shardId: shard['shardId'] });
  }
  if (client.last('lent') === undefined) throw new Error(`no lease came: ${JSON.stringify(client.said)}`);
}

const receivedBy = new WeakMap<MemoryClient, number>();

import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach } from 'vitest';
import type { EngineExecuteRequest, ExecutionEvent } from '../../../src/api-schema/index.js';
import { type Device, hostBackend } from '../../../src/device/index.js';
import type { Observer } from '../../../src/events/index.js';
import type { Sharing, WorkerOptions } from '../../../src/worker/service/index.js';
import { regionsOf } from '../manager/fixture.js';
import { MIB, type Rig, rig } from './fixture.js';

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

export type Answer = (response: ServerResponse, body: string, path: string) => void;

/** An OpenAI-compatible server that answers as the test says; this process runs it, and may hold a lease. */
export async function engine(answer: Answer): Promise<{ readonly port: number; readonly server: Server }> {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => answer(response, body, request.url ?? ''));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push(async () => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, server };
}

/** As if the process `pid` held a lease of these shards, of which the host device can lend none. */
export function sharing(pid: number, sealIds: () => readonly string[]): Sharing {
  return {
    offer: () => undefined,
    withdraw: () => false,
    models: ['m'],
    leases: () => [
      { leaseId: '1', model: 'm', client: 'engine', pid, uid: 0, state: 'lent', sealIds: sealIds() },
    ],
  };
}

export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

export interface Bench extends Rig {
  /** Damages the model behind everybody's back. */
  damage(): Promise<void>;
  submit(parts?: Partial<EngineExecuteRequest>): Promise<string>;
  eventsOf(id: string, after?: number): Promise<ExecutionEvent[]>;
}

/** A worker with one shared model on the host device, whose engine answers as the test says. */
export async function bench(
  answer: Answer,
  options: Partial<WorkerOptions> = {},
  {
    weights = 'leased',
    holder = process.pid,
    wrap = (device) => device,
    observers = [],
  }: {
    weights?: 'leased' | 'guarded';
    holder?: number;
    wrap?: (device: Device) => Device;
    observers?: readonly Observer[];
  } = {},
): Promise<Bench> {
  const { port } = await engine(answer);
  const share = sharing(holder, () => made.worker.model('m').shards.map(({ sealId }) => sealId));
  const seen = regionsOf(wrap);
  const device = seen.wrap(await hostBackend().open(0, { drills: true }));
  open.push(() => device.close());
  const made = await rig(
    {
      share,
      engines: [{ model: 'm', address: { host: '127.0.0.1', port }, weights, atOnce: 1 }],
      ...options,
    },
    { device, drills: true, observers },
  );
  open.push(async () => await made[Symbol.asyncDispose]());
  const path = await made.write('m.bin', MIB);
  await made.worker.commit({ name: 'm', path });
  await made.settled('m');
  let count = 0;
  return {
    ...made,
    damage: () => seen.flip(0, 9, 1),
    async submit(parts = {}) {
      const executionId = `e${++count}`;
      const request: EngineExecuteRequest = {
        mode: 'engine',
        executionId,
        model: 'm',
        inputs: { path: '/v1/chat/completions', body: { stream: true } },
        ...parts,
      };
      return made.worker.executions.submit(request).executionId;
    },
    async eventsOf(id, after = 0) {
      const seen: ExecutionEvent[] = [];
      const { events } = made.worker.executions.get(id);
      for await (const event of events.follow(after, AbortSignal.timeout(10_000))) seen.push(event);
      return seen;
    },
    [Symbol.asyncDispose]: () => made[Symbol.asyncDispose](),
  };
}

export const stream: Answer = (response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write('data: {"a":1}\n\n');
  response.write(': alive\n\ndata: one\r\ndata: two\r\n\r\nevent: done\nda');
  response.end('ta: [DONE]\n\n');
};

export const types = (events: readonly ExecutionEvent[]): string[] => events.map(({ type }) => type);

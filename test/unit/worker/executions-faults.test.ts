import { describe, expect, it } from 'vitest';
import type { ExecutionEvent } from '../../../src/api-schema/index.js';
import type { DeviceLost } from '../../../src/device/types.js';
import { overlay } from '../manager/fixture.js';
import { FaultyFileSystem } from '../node/audit/faulty-fs.js';
import { openLog, scratch, systemPlatformWith } from '../node/audit/support.js';
import { type Answer, type Bench, bench, gate, stream } from './engine-bench.js';

const LOST: DeviceLost = { reason: 'lost', message: 'it fell off the bus' };

/** An engine that says one thing and then waits. */
function waiting(): { readonly answer: Answer; readonly begun: Promise<void>; readonly finish: () => void } {
  const begun = gate();
  let finish = (): void => undefined;
  const answer: Answer = (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: x\n\n');
    finish = () => response.end('data: [DONE]\n\n');
    begun.open();
  };
  return { answer, begun: begun.opened, finish: () => finish() };
}

/** Its one terminal event, which is the last and the one that GET tells. */
async function terminalOf({ eventsOf, worker }: Bench, id: string): Promise<ExecutionEvent> {
  const events = await eventsOf(id);
  await worker.executions.idle();
  expect(await eventsOf(id)).toEqual(events);
  const terminal = events.filter(({ type }) => type === 'end' || type === 'error');
  expect(terminal).toHaveLength(1);
  const [only] = terminal;
  if (only === undefined) throw new Error('it did not end');
  expect(events.at(-1)).toEqual(only);
  expect(worker.executions.get(id).view().terminal).toEqual(only);
  return only;
}

describe('a device that is lost', () => {
  it('while an engine answers ends the execution once, and those that wait, and the worker says so', async () => {
    let lose = (): void => undefined;
    const lost = new Promise<DeviceLost>((resolve) => {
      lose = () => resolve(LOST);
    });
    const { answer, begun, finish } = waiting();
    const made = await bench(answer, {}, { wrap: (device) => overlay(device, { lost }) });
    const [running, queued] = [await made.submit(), await made.submit()];
    await begun;
    lose();
    expect(await terminalOf(made, running)).toMatchObject({ type: 'error', data: { code: 'DEVICE_LOST' } });
    finish();
    expect(await terminalOf(made, queued)).toMatchObject({ type: 'error', data: { code: 'DEVICE_LOST' } });
    expect(made.worker.readiness()).toMatchObject({ state: 'lost', ready: false });
  });

  it('while the weights are verified for it ends it once, and the engine is never asked', async () => {
    let lose = (): void => undefined;
    const lost = new Promise<DeviceLost>((resolve) => {
      lose = () => resolve(LOST);
    });
    let asked = 0;
    const made = await bench(
      (response) => {
        asked += 1;
        response.end();
      },
      {},
      { wrap: (device) => overlay(device, { lost }) },
    );
    lose();
    const id = await made.submit();
    expect(await terminalOf(made, id)).toMatchObject({ type: 'error', data: { code: 'DEVICE_LOST' } });
    expect(asked).toBe(0);
  });
});

describe('an audit log whose disk is full', () => {
  async function audited(answer: Answer) {
    const fs = new FaultyFileSystem();
    const log = await openLog(await scratch(), { workerId: 'worker' }, systemPlatformWith(fs));
    const made = await bench(answer, {}, { observers: [log.observer] });
    /** Records are written a little later than they are made: resolves once the log knows of its disk. */
    const fill = async (): Promise<void> => {
      fs.fault = ({ operation }) => (operation === 'write' ? 'ENOSPC' : null);
      const verified = async () => (await made.worker.verify('m')).shards[0]?.failure?.code;
      await expect.poll(verified, { timeout: 5_000 }).toBe('AUDIT_FAILED');
    };
    const makeRoom = (): void => {
      fs.fault = () => null;
    };
    return { made, fill, makeRoom };
  }

  it('while an engine answers gives no result that is not on record, and one terminal event', async () => {
    const { answer, begun, finish } = waiting();
    const { made, fill, makeRoom } = await audited(answer);
    const id = await made.submit({ recheck: true });
    await begun;
    await fill();
    finish();
    expect(await terminalOf(made, id)).toMatchObject({ type: 'error', data: { code: 'AUDIT_FAILED' } });
    makeRoom();
  });

  it('before it starts ends it once; with room again the next one runs', async () => {
    const { made, fill, makeRoom } = await audited(stream);
    await fill();
    const refused = await made.submit();
    expect(await terminalOf(made, refused)).toMatchObject({ type: 'error', data: { code: 'AUDIT_FAILED' } });
    expect(made.worker.readiness().ready).toBe(true);
    makeRoom();
    // The log tries its disk again no sooner than 100 ms after the last time.
    const next = async () => (await terminalOf(made, await made.submit()))?.type;
    await expect.poll(next, { timeout: 5_000 }).toBe('end');
  });
});

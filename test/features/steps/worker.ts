import { expect } from 'vitest';
import { overlay } from '../../contract/broken.js';
import { token } from '../../unit/manager/fixture.js';
import type { StepBook } from '../gherkin.js';
import { MEMORY } from '../parameters.js';
import type { World } from '../world.js';

/** Opening and ending workers. */
export function workerSteps(book: StepBook<World>): void {
  book.define('a worker', async (world) => {
    await world.start();
  });

  book.define('a worker whose budget holds exactly {size} of weights', async (world, values) => {
    const { device } = world;
    const budgetBytes = device.stats().scratchBytes + device.allocationBytes(values.number(0));
    await world.start({ budgetBytes });
  });

  book.define('a worker whose budget holds exactly {int} shards of {size}', async (world, values) => {
    const { device } = world;
    const shards = values.number(0) * device.allocationBytes(values.number(1));
    await world.start({ budgetBytes: device.stats().scratchBytes + shards });
  });

  book.define('a worker that seals at most {size} at once', async (world, values) => {
    await world.start({ maxShardBytes: values.number(0) });
  });

  book.define('a worker that stops as soon as it finds damage', async (world) => {
    await world.start({ onVerificationFailure: 'stop' });
  });

  book.define('a worker with an audit log', async (world) => {
    await world.startAudited();
  });

  book.define('a worker on a device that can be lost', async (world) => {
    await world.useLosableDevice();
    await world.start({ drills: false });
  });

  book.define('a second worker with {difference}', async (world, values) => {
    const options =
      values.text(0) === 'another token'
        ? { token: token().fill(0x5b) }
        : { workerId: values.text(0) === 'another name' ? 'worker-2' : 'worker-1' };
    world.second = await world.open(options);
  });

  book.define('a worker is started under the policy {string} on {memory}', async (world, values) => {
    const facts = MEMORY[values.text(1)] ?? world.device.info.facts;
    const device = overlay(world.device, { info: { ...world.device.info, facts } });
    await world.attempt(() => world.start({ policy: policyOf(values.text(0)) }, device));
  });

  book.define(
    'a worker is started under the policy {string} on the memory of this machine',
    async (world, values) => {
      await world.attempt(() => world.start({ policy: policyOf(values.text(0)) }));
    },
  );

  book.define('a worker is started without naming a policy, on the memory of this machine', async (world) => {
    const { device } = world;
    await world.attempt(async () => {
      const { VramManager } = await import('../../../src/index.js');
      const manager = await VramManager.open({ device, workerId: 'worker-1', observers: [world.recorder] });
      await manager.close();
    });
  });

  book.define('the device is lost', async (world) => {
    if (world.lose === null) throw new Error('the device of this scenario cannot be lost');
    await world.lose();
    await world.device.lost;
    // The loss is told by a promise of the device: one turn of the event loop later it is in force.
    await new Promise((resolve) => setTimeout(resolve, 0));
  });

  book.define('the worker is closed', async (world) => {
    await world.manager.close();
    world.shards.clear();
  });

  book.define('the worker is {string}', (world, values) => {
    expect(world.manager.status().state).toBe(values.text(0));
  });

  book.define('the memory class of the worker is {string}', (world, values) => {
    expect(world.manager.status()).toMatchObject({ residency: values.text(0) });
  });

  book.define('the worker says that its policy {string} accepts {string}', (world, values) => {
    const { policy, policyAccepts } = world.manager.status();
    expect([policy, policyAccepts.join(', ')]).toEqual([values.text(0), values.text(1)]);
  });
}

function policyOf(text: string): 'vram-only' | 'gpu' | 'any' {
  if (text !== 'vram-only' && text !== 'gpu' && text !== 'any') throw new Error(`no policy "${text}"`);
  return text;
}

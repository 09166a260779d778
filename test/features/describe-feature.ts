import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, it } from 'vitest';
import type { Device } from '../../src/device/index.js';
import { cudaTargets, hostTargets, type PresentBackend, webGpuTargets } from '../support/backends.js';
import { stepBook } from './book.js';
import { readFeature } from './gherkin.js';
import { World } from './world.js';

const book = stepBook();

/** One target of each backend: what else there is of it is for the contract suite. */
async function backends(): Promise<readonly PresentBackend[]> {
  const [host] = hostTargets();
  const [cuda] = await cudaTargets();
  return [
    ...(host === undefined ? [] : [host]),
    ...(await webGpuTargets()),
    ...(cuda === undefined ? [] : [cuda]),
  ];
}

/** Runs every scenario of a feature on every backend present, each on a worker of its own over one device. */
export async function describeFeature(name: string): Promise<void> {
  const feature = readFeature(fileURLToPath(new URL(`${name}.feature`, import.meta.url)));
  for (const { name: backend, target, missing } of await backends()) {
    describe(`${feature.name} (${backend})`, () => {
      if (target === null) {
        it.skip(`NOT RUN: ${missing}`);
        return;
      }
      let device: Device;
      beforeAll(async () => {
        device = await target.open({ drills: true });
      });
      afterAll(() => device.close());
      for (const scenario of feature.scenarios) {
        const ids = scenario.requirements.map((id) => `[${id}] `).join('');
        it(`${ids}${scenario.name}`, async () => {
          const steps = scenario.steps.map((step) => book.match(step));
          const world = new World(target, device);
          try {
            for (const step of steps) await step.run(world);
            world.requireNoSurprise();
          } finally {
            await world.close();
          }
        });
      }
    });
  }
}

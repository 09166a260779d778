import { describe, expect, it } from 'vitest';
import { hostBackend } from '../../src/device/host/index.js';
import { createPortableEngine } from '../../src/digest/index.js';
import { VramManager } from '../../src/manager/index.js';
import { overlay, platform } from './manager-fixture.js';

describe('close', () => {
  it.each([
    ['the device', 'device'],
    ['the engine', 'engine'],
    ['an observer, while it is flushed', 'flush'],
    ['an observer, while it is closed', 'observer'],
  ])(
    '[MS-005] never rejects and closes the rest when %s throws an error of its own',
    async (_name, broken) => {
      const closed: string[] = [];
      const close = (name: string) => async (): Promise<void> => {
        closed.push(name);
        if (name === broken) throw new Error('not of this library');
      };
      const backend = hostBackend();
      const watched = overlay(backend, {
        open: async () => overlay(await backend.open(0), { close: close('device') }),
      });
      const manager = await VramManager.open(
        {
          device: 'host',
          workerId: 'w',
          policy: 'any',
          observers: [
            {
              name: 'log',
              required: true,
              on: () => undefined,
              flush: close('flush'),
              close: close('observer'),
            },
          ],
        },
        {
          ...platform([watched]),
          engine: () => overlay(createPortableEngine(), { close: close('engine') }),
        },
      );
      await manager.close();
      expect(closed).toEqual(['device', 'engine', 'flush', 'observer']);
    },
  );

  it('[MS-005] a device whose close throws before it gives a promise keeps nothing from being closed', async () => {
    let observerClosed = false;
    const backend = hostBackend();
    const watched = overlay(backend, {
      open: async () =>
        overlay(await backend.open(0), {
          close: () => {
            throw new Error('at once');
          },
        }),
    });
    const close = async (): Promise<void> => {
      observerClosed = true;
    };
    const manager = await VramManager.open(
      {
        device: 'host',
        workerId: 'w',
        policy: 'any',
        observers: [{ name: 'log', required: true, on: () => undefined, close }],
      },
      platform([watched]),
    );
    await manager.close();
    expect(observerClosed).toBe(true);
  });
});

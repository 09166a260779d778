import { describe, expect, it } from 'vitest';
import { Lifecycle } from '../../../../src/manager/state/lifecycle.js';

describe('the lifecycle', () => {
  it('says in which state it is, and why it serves no more', () => {
    const lifecycle = new Lifecycle();
    expect([lifecycle.state, lifecycle.end]).toEqual(['open', null]);
    expect(() => lifecycle.requireDevice()).not.toThrow();
    lifecycle.stop('damage');
    expect(lifecycle.state).toBe('stopped');
    expect(lifecycle.end?.message).toBe(
      'the manager has stopped: damage; release its shards and open another',
    );
    lifecycle.lose('it fell off');
    expect(lifecycle.state).toBe('lost');
    expect(lifecycle.end).toMatchObject({ code: 'DEVICE_LOST', message: 'the device is lost: it fell off' });
    expect(lifecycle.lose('again')).toBe(false);
    lifecycle.close();
    expect(lifecycle.state).toBe('closed');
    expect(lifecycle.end).toMatchObject({ code: 'STOPPED', message: 'the manager is closed' });
    lifecycle.close();
    expect(lifecycle.stop('late')).toBe(false);
  });

  it('tells each watcher once, of the first end alone', () => {
    const lifecycle = new Lifecycle();
    const ends: string[] = [];
    const calledOff = lifecycle.onEnd(() => ends.push('called off'));
    const deviceCalledOff = lifecycle.onDeviceEnd(() => ends.push('device, called off'));
    lifecycle.onEnd(({ code }) => ends.push(code));
    lifecycle.onDeviceEnd(({ code }) => ends.push(`device ${code}`));
    calledOff();
    deviceCalledOff();
    lifecycle.stop('x');
    expect(ends).toEqual(['STOPPED']);
    lifecycle.close();
    expect(ends).toEqual(['STOPPED', 'device STOPPED']);
    lifecycle.onDeviceEnd(({ message }) => ends.push(message));
    expect(ends.at(-1)).toBe('the manager is closed');
  });

  it('a device that is lost is told to both kinds of watchers, and to those who come later', () => {
    const lifecycle = new Lifecycle();
    const ends: string[] = [];
    lifecycle.onEnd(({ code }) => ends.push(code));
    lifecycle.onDeviceEnd(({ code }) => ends.push(`device ${code}`));
    lifecycle.lose('x');
    lifecycle.onDeviceEnd(({ code }) => ends.push(`later ${code}`));
    lifecycle.close();
    expect(ends).toEqual(['DEVICE_LOST', 'device DEVICE_LOST', 'later DEVICE_LOST']);
  });
});

describe('lifecycle', () => {
  it('only ever moves on, and its signal says why', () => {
    const lifecycle = new Lifecycle();
    lifecycle.requireServing();
    expect(lifecycle.end).toBeNull();
    const ends: string[] = [];
    lifecycle.onEnd(({ code }) => ends.push(code));
    lifecycle.onEnd(() => ends.push('called off'))();
    expect(lifecycle.stop('damage')).toBe(true);
    expect(lifecycle.stop('again')).toBe(false);
    expect(lifecycle.end).toMatchObject({ code: 'STOPPED' });
    expect(ends).toEqual(['STOPPED']);
    lifecycle.onEnd(({ code }) => ends.push(code));
    expect(ends).toEqual(['STOPPED', 'STOPPED']);
    const deviceEnds: string[] = [];
    lifecycle.onDeviceEnd(({ code }) => deviceEnds.push(code));
    lifecycle.onDeviceEnd(() => deviceEnds.push('called off'))();
    expect(deviceEnds).toEqual([]);
    expect(() => lifecycle.requireServing()).toThrow(expect.objectContaining({ code: 'STOPPED' }));
    lifecycle.requireDevice();
    expect(lifecycle.lose('gone')).toBe(true);
    expect(() => lifecycle.requireDevice()).toThrow(expect.objectContaining({ code: 'DEVICE_LOST' }));
    lifecycle.onDeviceEnd(({ code }) => deviceEnds.push(code));
    lifecycle.close();
    expect(deviceEnds).toEqual(['DEVICE_LOST', 'DEVICE_LOST']);
    expect(lifecycle.lose('late')).toBe(false);
    expect(lifecycle.state).toBe('closed');
    expect(() => lifecycle.requireDevice()).toThrow(expect.objectContaining({ code: 'STOPPED' }));
  });
});

import { describe, expect, it } from 'vitest';
import type { EmulatorConfig } from './emulator-control.js';
import { NO_COMPILER, openEmulator } from './emulator-control.js';
import { ILLEGAL_ADDRESS, kernel, Session } from './emulator-session.js';

const emulator = openEmulator();
const GRANULARITY = 2 << 20;
const READ = 1;
const READ_WRITE = 3;

/** Stores the thread's index at the address given; loads it first. */
const STORE = kernel('  cvta.to.global.u64 %rd2, %rd1;\n  st.global.u32 [%rd2], %r1;');
const LOAD = kernel('  ld.global.u32 %r2, [%rd1];');

describe.skipIf(emulator === null)(`the test driver${emulator === null ? ` ${NO_COMPILER}` : ''}`, () => {
  const open = (config?: EmulatorConfig): Session => {
    if (emulator === null) throw new Error(NO_COMPILER);
    return new Session(emulator.control, config);
  };

  /** CUmemAllocationProp: pinned, on the device. */
  function properties(device = 0): Uint8Array {
    const bytes = new Uint8Array(32);
    const view = new DataView(bytes.buffer);
    view.setInt32(0, 1, true);
    view.setInt32(8, 1, true);
    view.setInt32(12, device, true);
    return bytes;
  }

  /** CUmemAccessDesc */
  function access(flags: number, device = 0): Uint8Array {
    const bytes = new Uint8Array(12);
    const view = new DataView(bytes.buffer);
    view.setInt32(0, 1, true);
    view.setInt32(4, device, true);
    view.setInt32(8, flags, true);
    return bytes;
  }

  function map(session: Session, flags: number) {
    const handle = session.make('cuMemCreate', GRANULARITY, properties(), 0);
    const address = session.make('cuMemAddressReserve', GRANULARITY, 0, 0, 0);
    session.do('cuMemMap', address, GRANULARITY, 0, handle, 0);
    session.do('cuMemSetAccess', address, GRANULARITY, access(flags), 1);
    return { handle, address };
  }

  function accessOf(session: Session, address: bigint): bigint {
    return session.make('cuMemGetAccess', access(0).subarray(0, 8), address);
  }

  it('refuses everything before cuInit, and contexts that are not there', () => {
    const { control } = open();
    control.reset();
    expect(control.call('cuDeviceGetCount', new Int32Array(1))).toBe(3);
    expect(control.call('cuInit', 0)).toBe(0);
    expect(control.call('cuCtxSetCurrent', null)).toBe(0);
    expect(control.call('cuMemAlloc_v2', new BigUint64Array(1), 16)).toBe(201);
    expect(control.call('cuCtxSetCurrent', 12345n)).toBe(201);
  });

  it('a store to a read-only mapping faults, and the context answers nothing else from then on', () => {
    const session = open();
    const { address } = map(session, READ_WRITE);
    const module = session.load(STORE);
    expect(session.run(module, 'test', 1, 32, [{ u64: address }])).toBe(0);
    expect(new Uint32Array(session.read(address, 4).buffer)[0]).toBe(31);

    session.do('cuMemSetAccess', address, GRANULARITY, access(READ), 1);
    expect(accessOf(session, address)).toBe(BigInt(READ));
    expect(session.run(module, 'test', 1, 32, [{ u64: address }])).toBe(ILLEGAL_ADDRESS);
    expect(session.control.lastFault()).toContain('store to memory without write access');
    expect(session.call('cuMemAlloc_v2', new BigUint64Array(1), 16)).toBe(ILLEGAL_ADDRESS);
    expect(session.call('cuCtxSynchronize')).toBe(ILLEGAL_ADDRESS);
  });

  it('a copy or a fill into a read-only mapping faults as well; a load does not', () => {
    for (const write of ['copy', 'fill'] as const) {
      const session = open();
      const { address } = map(session, READ);
      expect(session.run(session.load(LOAD), 'test', 1, 32, [{ u64: address }])).toBe(0);
      if (write === 'fill') session.do('cuMemsetD8Async', address, 1, 16, null);
      else expect(session.call('cuMemcpyHtoD_v2', address, new Uint8Array(16), 16)).toBe(ILLEGAL_ADDRESS);
      expect(session.call('cuCtxSynchronize')).toBe(ILLEGAL_ADDRESS);
    }
  });

  it('an unmapped reservation, a mapping without access and freed memory are not memory', () => {
    for (const kind of ['reserved', 'no access', 'freed'] as const) {
      const session = open();
      let address = session.make('cuMemAddressReserve', GRANULARITY, 0, 0, 0);
      if (kind === 'no access') address = map(session, 0).address;
      if (kind === 'freed') {
        address = session.allocate(64);
        session.do('cuMemFree_v2', address);
      }
      expect(session.run(session.load(LOAD), 'test', 1, 32, [{ u64: address }])).toBe(ILLEGAL_ADDRESS);
    }
  });

  it('a driver that only pretends to make memory read-only is found by asking it back', () => {
    const session = open({ ignoreReadOnly: true });
    const { address } = map(session, READ);
    expect(accessOf(session, address)).toBe(BigInt(READ_WRITE));
  });

  it('a pinned copy in is seen only after its stream was waited for, with the bytes of that moment', () => {
    const session = open();
    const { control } = session;
    const stream = session.make('cuStreamCreate', 1);
    const pinned = session.make('cuMemAllocHost_v2', 16);
    const memory = session.allocate(new Uint8Array(16));
    control.writePinned(pinned, new Uint8Array(16).fill(1));
    session.do('cuMemcpyHtoDAsync_v2', memory, pinned, 16, stream);
    expect(control.pendingCopies()).toBe(1);
    expect(session.read(memory, 16)).toEqual(new Uint8Array(16));
    control.writePinned(pinned, new Uint8Array(16).fill(2));
    session.do('cuStreamSynchronize', stream);
    expect(control.pendingCopies()).toBe(0);
    expect(session.read(memory, 16)).toEqual(new Uint8Array(16).fill(2));
  });

  it('a pinned copy out arrives when its event is waited for, and not before', () => {
    const session = open();
    const stream = session.make('cuStreamCreate', 1);
    const event = session.make('cuEventCreate', 2);
    const pinned = session.make('cuMemAllocHost_v2', 16);
    const memory = session.allocate(new Uint8Array(16).fill(9));
    session.do('cuMemcpyDtoHAsync_v2', pinned, memory, 16, stream);
    session.do('cuEventRecord', event, stream);
    expect(session.control.readPinned(pinned, 16)).toEqual(new Uint8Array(16));
    expect(session.call('cuEventQuery', event)).toBe(600);
    expect(session.call('cuEventQuery', event)).toBe(0);
    expect(session.control.readPinned(pinned, 16)).toEqual(new Uint8Array(16).fill(9));
  });

  it('streams are not ordered among each other unless one waits for the event of another', () => {
    for (const waits of [false, true]) {
      const session = open();
      const [copies, kernels] = [session.make('cuStreamCreate', 1), session.make('cuStreamCreate', 1)];
      const event = session.make('cuEventCreate', 2);
      const pinned = session.make('cuMemAllocHost_v2', 16);
      const memory = session.allocate(new Uint8Array(16));
      const out = session.make('cuMemAllocHost_v2', 16);
      session.control.writePinned(pinned, new Uint8Array(16).fill(5));
      session.do('cuMemcpyHtoDAsync_v2', memory, pinned, 16, copies);
      session.do('cuEventRecord', event, copies);
      if (waits) session.do('cuStreamWaitEvent', kernels, event, 0);
      session.do('cuMemcpyDtoHAsync_v2', out, memory, 16, kernels);
      session.do('cuStreamSynchronize', kernels);
      expect(session.control.readPinned(out, 16)).toEqual(new Uint8Array(16).fill(waits ? 5 : 0));
    }
  });

  it('pinned memory freed under a copy is a fault', () => {
    const session = open();
    const stream = session.make('cuStreamCreate', 1);
    const pinned = session.make('cuMemAllocHost_v2', 16);
    const memory = session.allocate(16);
    session.do('cuMemcpyHtoDAsync_v2', memory, pinned, 16, stream);
    expect(session.call('cuMemFreeHost', pinned)).toBe(ILLEGAL_ADDRESS);
    expect(session.call('cuStreamSynchronize', stream)).toBe(ILLEGAL_ADDRESS);
  });

  it('the n-th call fails with the code asked for, once, and what releases still releases', () => {
    const session = open();
    const { control } = session;
    control.failCall('cuMemAlloc_v2', 2, 2);
    const first = session.allocate(64);
    expect(session.call('cuMemAlloc_v2', new BigUint64Array(1), 64)).toBe(2);
    const third = session.allocate(64);
    expect(control.injections()).toEqual([{ name: 'cuMemAlloc_v2', nth: 2, code: 2, reached: true }]);
    expect(control.liveAllocations().memory).toBe(2);
    control.failCall('cuMemFree_v2', 1, 719);
    expect(session.call('cuMemFree_v2', first)).toBe(719);
    control.failCall('cuMemFree_v2', 1, 719, false);
    expect(session.call('cuMemFree_v2', third)).toBe(719);
    expect(control.liveAllocations().memory).toBe(1);
    expect(control.calls()['cuMemAlloc_v2']).toBe(3);
    expect(() => control.failCall('cuNothing', 1, 2)).toThrow('no driver function');
  });

  it('counts what is alive; what a dying context takes along is a leak', () => {
    const session = open();
    session.allocate(64);
    const stream = session.make('cuStreamCreate', 1);
    expect(session.control.liveAllocations()).toMatchObject({ memory: 1, streams: 1, contexts: 1, total: 3 });
    session.do('cuStreamDestroy_v2', stream);
    session.do('cuDevicePrimaryCtxRelease_v2', 0);
    expect(session.control.liveAllocations()).toMatchObject({
      memory: 0,
      contexts: 0,
      abandoned: 1,
      total: 1,
    });
  });

  it('flips a bit, loses the device, breaks it with an ECC error, runs out of memory', () => {
    const session = open({ devices: [{ totalBytes: 1 << 20, usedByOthers: 1 << 19 }] });
    const { control } = session;
    const memory = session.allocate(new Uint8Array(4096));
    control.flip(0, 100, 0x10);
    expect(session.read(memory, 4096)[100]).toBe(0x10);
    expect(control.peek(0, 100, 1)).toEqual(Uint8Array.of(0x10));
    expect(session.call('cuMemAlloc_v2', new BigUint64Array(1), (1 << 19) - 4095)).toBe(2);
    const [free, total] = [new BigUint64Array(1), new BigUint64Array(1)];
    session.do('cuMemGetInfo_v2', free, total);
    expect([free[0], total[0]]).toEqual([BigInt((1 << 19) - 4096), BigInt(1 << 20)]);
    control.eccError();
    expect(session.call('cuMemcpyDtoH_v2', new Uint8Array(16), memory, 16)).toBe(214);
    expect(session.call('cuCtxSynchronize')).toBe(214);
    control.loseDevice(0, 719);
    expect(session.call('cuCtxSynchronize')).toBe(719);
    expect(session.call('cuDevicePrimaryCtxRetain', new BigUint64Array(1), 0)).toBe(719);
  });

  it('physical memory counts until its last owner is gone', () => {
    const session = open({ devices: [{ totalBytes: GRANULARITY }] });
    const { handle, address } = map(session, READ_WRITE);
    const another = (): number =>
      session.call('cuMemCreate', new BigUint64Array(1), GRANULARITY, properties(), 0);
    expect(another()).toBe(2);
    session.do('cuMemRelease', handle);
    expect(another()).toBe(2);
    expect(session.call('cuMemAddressFree', address, GRANULARITY)).toBe(1);
    session.do('cuMemUnmap', address, GRANULARITY);
    session.do('cuMemAddressFree', address, GRANULARITY);
    expect(another()).toBe(0);
  });

  it('is the device that was asked for', () => {
    const devices = [
      { name: 'First', ecc: false },
      { name: 'Second', major: 7, minor: 0, integrated: true, vmm: false },
    ];
    const session = open({ devices, driverVersion: 11080 });
    const value = new Int32Array(1);
    const attribute = (which: number, device: number): number | undefined => {
      session.do('cuDeviceGetAttribute', value, which, device);
      return value[0];
    };
    session.do('cuDeviceGetCount', value);
    expect(value[0]).toBe(2);
    expect([
      attribute(32, 0),
      attribute(75, 1),
      attribute(76, 1),
      attribute(18, 1),
      attribute(102, 1),
    ]).toEqual([0, 7, 0, 1, 0]);
    const name = new Uint8Array(16);
    session.do('cuDeviceGetName', name, 16, 1);
    expect(new TextDecoder().decode(name.subarray(0, 6))).toBe('Second');
    expect(session.call('cuMemCreate', new BigUint64Array(1), GRANULARITY, properties(1), 0)).toBe(801);
    session.do('cuDriverGetVersion', value);
    expect(value[0]).toBe(11080);
    expect(session.call('cuDeviceGet', value, 2)).toBe(101);
  });

  it('refuses PTX that the driver or the device is too old for, and says so in the log', () => {
    const session = open({ devices: [{ major: 7, minor: 0 }], driverVersion: 11080 });
    const log = new Uint8Array(256);
    const options = Int32Array.of(5, 6);
    const values = BigUint64Array.of(session.control.addressOf(log), 256n);
    const load = (): number =>
      session.call('cuModuleLoadDataEx', new BigUint64Array(1), STORE, 2, options, values);
    const said = (): string => new TextDecoder().decode(log.subarray(0, log.indexOf(0)));
    expect(load()).toBe(222);
    expect(said()).toContain('PTX 8.0 is newer than a driver for CUDA 11.8 reads');
    session.control.configure({ driverVersion: 12000 });
    expect(load()).toBe(209);
    session.control.configure({ devices: [{ major: 7, minor: 5 }] });
    expect(load()).toBe(0);
    expect(said()).toBe('');
  });

  it('one device cannot reach the memory of another', () => {
    const session = open({ devices: [{}, {}] });
    const memory = session.allocate(new Uint8Array(16));
    const other = session.make('cuDevicePrimaryCtxRetain', 1);
    session.do('cuCtxSetCurrent', other);
    expect(session.run(session.load(LOAD), 'test', 1, 32, [{ u64: memory }])).toBe(ILLEGAL_ADDRESS);
    session.do('cuCtxSetCurrent', session.context);
    expect(session.call('cuCtxSynchronize')).toBe(0);
  });
});

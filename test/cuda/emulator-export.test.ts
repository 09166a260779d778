import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { findPython } from '../support/python.js';
import { type EmulatorConfig, NO_COMPILER, openEmulator } from './emulator-control.js';
import { Session } from './emulator-session.js';

const BYTES = 2 << 20;
const FILE_DESCRIPTOR = 1;
const READ = 1;
const READ_WRITE = 3;
const INVALID_VALUE = 1;
const INVALID_DEVICE = 101;
const NOT_SUPPORTED = 801;
/** CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED */
const ATTRIBUTE = 103;

/**
 * Another process, without Node: imports the memory of descriptor 3, maps it with the rights of its first argument, prints
 * its first bytes, and writes 0xee over the first if it may.
 */
const IMPORTER = `
import ctypes, json, os, sys
rights = int(sys.argv[2])
cu = ctypes.CDLL(sys.argv[1])
u64, size, p = ctypes.c_uint64, ctypes.c_size_t, ctypes.byref
def do(name, *arguments):
    result = getattr(cu, name)(*arguments)
    if result != 0:
        print(json.dumps([name, result]))
        sys.exit(0)
do("cuInit", 0)
context, handle, address = ctypes.c_void_p(), u64(), u64()
do("cuDevicePrimaryCtxRetain", p(context), 0)
do("cuCtxSetCurrent", context)
do("cuMemImportFromShareableHandle", p(handle), ctypes.c_void_p(3), 1)
os.close(3)
do("cuMemAddressReserve", p(address), size(${BYTES}), size(0), u64(0), u64(0))
do("cuMemMap", address, size(${BYTES}), size(0), handle, u64(0))
do("cuMemSetAccess", address, size(${BYTES}), (ctypes.c_int * 3)(1, 0, rights), size(1))
granted = u64()
do("cuMemGetAccess", p(granted), (ctypes.c_int * 2)(1, 0), address)
free, total = size(), size()
do("cuMemGetInfo_v2", p(free), p(total))
data = (ctypes.c_uint8 * 4)()
do("cuMemcpyDtoH_v2", data, address, size(4))
stored = cu.cuMemcpyHtoD_v2(address, b"\\xee", size(1))
print(json.dumps([granted.value, total.value - free.value, list(data), stored]))
`;

const emulator = openEmulator();
const python = findPython(process.env['PYTHON'] ?? 'python3');
const skipped = emulator === null ? ` ${NO_COMPILER}` : '';

describe.skipIf(emulator === null)(`the test driver: memory for other processes${skipped}`, () => {
  function session(config?: EmulatorConfig): Session {
    if (emulator === null) throw new Error('no test driver');
    return new Session(emulator.control, config);
  }

  /** CUmemAllocationProp of memory on device 0. */
  function properties(handleType: number): Int32Array {
    return Int32Array.of(1, handleType, 1, 0, 0, 0, 0, 0);
  }

  function create(s: Session, handleType = FILE_DESCRIPTOR): bigint {
    return s.make('cuMemCreate', BYTES, properties(handleType), 0);
  }

  function map(s: Session, handle: bigint, rights: number): bigint {
    const address = s.make('cuMemAddressReserve', BYTES, 0, 0, 0);
    s.do('cuMemMap', address, BYTES, 0, handle, 0);
    s.do('cuMemSetAccess', address, BYTES, Int32Array.of(1, 0, rights), 1);
    return address;
  }

  function exported(s: Session, handle: bigint): number {
    const out = new Int32Array(1);
    s.do('cuMemExportToShareableHandle', out, handle, FILE_DESCRIPTOR, 0);
    return out[0] ?? -1;
  }

  it('an import in the same process is the same memory, with rights of its own, counted once', () => {
    const s = session();
    const handle = create(s);
    const address = map(s, handle, READ_WRITE);
    const descriptor = exported(s, handle);
    const imported = s.make('cuMemImportFromShareableHandle', descriptor, FILE_DESCRIPTOR);
    closeSync(descriptor);
    const second = map(s, imported, READ);
    const bytes = Uint8Array.from({ length: 4096 }, (_, at) => at * 7);
    s.do('cuMemcpyHtoD_v2', address, bytes, bytes.length);
    expect(s.read(second, bytes.length)).toEqual(bytes);
    expect(s.call('cuMemcpyHtoD_v2', second, bytes, bytes.length)).not.toBe(0);
    expect(s.control.allocations()).toHaveLength(1);
  });

  function importer(descriptor: number, rights: number): unknown {
    if (emulator === null || python.missing !== null) throw new Error('not here');
    const { stdout, stderr } = spawnSync(python.python, ['-c', IMPORTER, emulator.path, String(rights)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe', descriptor],
    });
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout);
  }

  const title =
    'another process, without Node, maps it: it sees the bytes, and writes them if it asks for that';
  it.skipIf(python.missing !== null)(
    python.missing === null ? title : `${title} (NOT RUN: ${python.missing})`,
    () => {
      const s = session();
      const handle = create(s);
      const address = map(s, handle, READ_WRITE);
      s.do('cuMemcpyHtoD_v2', address, Uint8Array.of(1, 2, 3, 4), 4);
      const descriptor = exported(s, handle);
      const [granted, used, data, stored] = importer(descriptor, READ) as unknown[];
      // Its device has the memory taken, as the one GPU would.
      expect([granted, used, data]).toEqual([READ, BYTES, [1, 2, 3, 4]]);
      expect(stored).not.toBe(0);
      expect(s.read(address, 1)).toEqual(Uint8Array.of(1));
      // Whoever imports chooses the rights: this is why shared memory is sealed as api-only.
      expect(importer(descriptor, READ_WRITE)).toEqual([READ_WRITE, BYTES, [1, 2, 3, 4], 0]);
      expect(s.read(address, 1)).toEqual(Uint8Array.of(0xee));
      closeSync(descriptor);
    },
  );

  it.skipIf(python.missing !== null)(
    python.missing === null
      ? 'outlives its owner, as long as somebody maps it'
      : `NOT RUN: ${python.missing}`,
    () => {
      const s = session();
      const handle = create(s);
      const address = map(s, handle, READ_WRITE);
      s.do('cuMemcpyHtoD_v2', address, Uint8Array.of(9, 9, 9, 9), 4);
      const descriptor = exported(s, handle);
      s.do('cuMemUnmap', address, BYTES);
      s.do('cuMemRelease', handle);
      expect(s.control.liveAllocations().physical).toBe(0);
      expect((importer(descriptor, READ) as unknown[]).slice(0, 3)).toEqual([READ, BYTES, [9, 9, 9, 9]]);
      closeSync(descriptor);
    },
  );

  it('refuses what the real driver refuses', () => {
    const s = session();
    const out = new Int32Array(1);
    const plain = create(s, 0);
    expect(s.call('cuMemExportToShareableHandle', out, plain, FILE_DESCRIPTOR, 0)).toBe(INVALID_VALUE);
    const shared = create(s);
    expect(s.call('cuMemExportToShareableHandle', out, shared, 2, 0)).toBe(INVALID_VALUE);
    expect(s.call('cuMemExportToShareableHandle', out, shared, FILE_DESCRIPTOR, 1)).toBe(INVALID_VALUE);
    expect(s.call('cuMemExportToShareableHandle', null, shared, FILE_DESCRIPTOR, 0)).toBe(INVALID_VALUE);
    expect(s.call('cuMemExportToShareableHandle', out, 12345, FILE_DESCRIPTOR, 0)).toBe(INVALID_VALUE);
    const handle = new BigUint64Array(1);
    const file = openSync(process.execPath, 'r');
    for (const descriptor of [file, 9999]) {
      expect(s.call('cuMemImportFromShareableHandle', handle, descriptor, FILE_DESCRIPTOR)).toBe(
        INVALID_VALUE,
      );
    }
    closeSync(file);
    const descriptor = exported(s, shared);
    expect(s.call('cuMemImportFromShareableHandle', handle, descriptor, 0)).toBe(INVALID_VALUE);
    closeSync(descriptor);
  });

  it('memory of a device that this process does not have cannot be imported', () => {
    const s = session();
    const descriptor = exported(s, create(s));
    const other = session({ devices: [{ name: 'Another GPU' }] });
    const handle = new BigUint64Array(1);
    expect(other.call('cuMemImportFromShareableHandle', handle, descriptor, FILE_DESCRIPTOR)).toBe(
      INVALID_DEVICE,
    );
    closeSync(descriptor);
  });

  it('a driver without such handles says so, and makes no such memory', () => {
    const s = session({ devices: [{ posixHandles: false }] });
    const value = new Int32Array(1);
    s.do('cuDeviceGetAttribute', value, ATTRIBUTE, 0);
    expect(value[0]).toBe(0);
    const handle = new BigUint64Array(1);
    expect(s.call('cuMemCreate', handle, BYTES, properties(FILE_DESCRIPTOR), 0)).toBe(NOT_SUPPORTED);
    expect(session().call('cuDeviceGetAttribute', value, ATTRIBUTE, 0)).toBe(0);
    expect(value[0]).toBe(1);
  });
});

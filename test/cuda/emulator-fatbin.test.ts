import { describe, expect, it } from 'vitest';
import type { EmulatorConfig } from './emulator-control.js';
import { NO_COMPILER, openEmulator } from './emulator-control.js';
import { kernel, Session } from './emulator-session.js';
import { altered, ELF, fatbin, PTX, ptxEntry } from './fatbin.js';

const emulator = openEmulator();
const INVALID_IMAGE = 200;
const NO_BINARY = 209;
const INVALID_PTX = 218;

/** Stores a number at the address given. */
const storing = (value: number): string => kernel(`  mov.u32 %r2, ${value};\n  st.global.u32 [%rd1], %r2;`);
const elf = { kind: ELF, architecture: 90, payload: new Uint8Array(64).fill(0x7f) };
const FIRST = 16;

describe.skipIf(emulator === null)(
  `the test driver: fat binaries${emulator === null ? ` ${NO_COMPILER}` : ''}`,
  () => {
    const open = (config?: EmulatorConfig): Session => {
      if (emulator === null) throw new Error(NO_COMPILER);
      return new Session(emulator.control, config);
    };
    const load = (session: Session, bytes: Uint8Array): number =>
      session.call('cuModuleLoadData', new BigUint64Array(1), bytes);

    /** What the kernel of the container stores. */
    function stored(session: Session, bytes: Uint8Array): number {
      const module = session.make('cuModuleLoadData', bytes);
      const out = session.allocate(16);
      expect(session.run(module, 'test', 1, 1, [{ u64: out }])).toBe(0);
      return new DataView(session.read(out, 4).buffer).getUint32(0, true);
    }

    it('runs the PTX within, whatever stands before it', () => {
      expect(stored(open(), fatbin([ptxEntry(storing(7))]))).toBe(7);
      expect(stored(open(), fatbin([elf, elf, ptxEntry(storing(8))]))).toBe(8);
    });

    it('takes the newest PTX that the device is new enough for', () => {
      const both = fatbin([ptxEntry(storing(80), 80), ptxEntry(storing(75), 75), ptxEntry(storing(90), 90)]);
      expect(stored(open({ devices: [{ major: 9, minor: 0 }] }), both)).toBe(90);
      expect(stored(open({ devices: [{ major: 8, minor: 9 }] }), both)).toBe(80);
      expect(stored(open({ devices: [{ major: 7, minor: 5 }] }), both)).toBe(75);
    });

    it('without PTX that it can run it answers as a driver without code for its GPU', () => {
      const compressed = { ...ptxEntry(storing(1)), compressedBytes: 8 };
      expect(load(open(), fatbin([elf]))).toBe(NO_BINARY);
      expect(load(open(), fatbin([compressed]))).toBe(NO_BINARY);
      expect(load(open(), fatbin([]))).toBe(NO_BINARY);
      expect(load(open({ devices: [{ major: 7, minor: 5 }] }), fatbin([ptxEntry(storing(1), 80)]))).toBe(
        NO_BINARY,
      );
    });

    it('PTX within that does not parse is refused as PTX alone is', () => {
      expect(load(open(), fatbin([ptxEntry('.version 8.0\nnonsense')]))).toBe(INVALID_PTX);
      const unended = new TextEncoder().encode('x'.repeat(64));
      expect(load(open(), fatbin([{ kind: PTX, architecture: 75, payload: unended }]))).toBe(INVALID_PTX);
    });

    it('sizes that leave the container are refused, not followed', () => {
      const good = fatbin([ptxEntry(storing(1))]);
      const hostile = [
        altered(good, (view) => view.setUint16(4, 2, true)),
        altered(good, (view) => view.setUint16(6, 8, true)),
        altered(good, (view) => view.setBigUint64(8, 63n, true)),
        altered(good, (view) => view.setUint32(FIRST + 4, 0, true)),
        altered(good, (view) => view.setUint32(FIRST + 4, 2 ** 32 - 1, true)),
        altered(good, (view) => view.setBigUint64(FIRST + 8, 2n ** 64n - 1n, true)),
        altered(good, (view) => view.setBigUint64(FIRST + 8, BigInt(good.length), true)),
        altered(good, (view) => view.setBigUint64(8, 100n, true)),
      ];
      for (const bytes of hostile) expect(load(open(), bytes)).toBe(INVALID_IMAGE);
    });
  },
);

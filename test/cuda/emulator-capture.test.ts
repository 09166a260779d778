import { describe, expect, it } from 'vitest';
import { NO_COMPILER, openEmulator } from './emulator-control.js';
import { Session } from './emulator-session.js';

const emulator = openEmulator();
const GLOBAL = 0;
const THREAD_LOCAL = 1;
const RELAXED = 2;
const BLOCKING = 0;
const NON_BLOCKING = 1;
const UNSUPPORTED = 900;
const INVALIDATED = 901;
const ISOLATION = 905;
const IMPLICIT = 906;
const CAPTURED_EVENT = 907;
const NOT_FOUND = 500;

describe.skipIf(emulator === null)(
  `the test driver: stream capture${emulator === null ? ` ${NO_COMPILER}` : ''}`,
  () => {
    const open = (): Session => {
      if (emulator === null) throw new Error(NO_COMPILER);
      return new Session(emulator.control);
    };

    function capturing(session: Session, flags: number, mode: number): bigint {
      const stream = session.make('cuStreamCreate', flags);
      session.do('cuStreamBeginCapture_v2', stream, mode);
      return stream;
    }

    /** The CUresult of ending the capture, and the nodes that it took. */
    function end(session: Session, stream: bigint): { result: number; nodes: number } {
      const graph = new BigUint64Array(1);
      const result = session.call('cuStreamEndCapture', stream, graph);
      if (result !== 0) return { result, nodes: 0 };
      const count = new BigUint64Array(1);
      session.do('cuGraphGetNodes', graph[0] ?? 0n, null, count);
      session.do('cuGraphDestroy', graph[0] ?? 0n);
      return { result, nodes: Number(count[0]) };
    }

    function exchange(session: Session, mode: number): number {
      const cell = Int32Array.of(mode);
      session.do('cuThreadExchangeStreamCaptureMode', new Uint8Array(cell.buffer));
      return cell[0] ?? -1;
    }

    it('work in a captured stream is noted and not done', () => {
      const session = open();
      const memory = session.allocate(new Uint8Array(64));
      const stream = capturing(session, NON_BLOCKING, GLOBAL);
      session.do('cuMemsetD8Async', memory, 7, 64, stream);
      session.do('cuMemsetD8Async', memory, 9, 64, stream);
      expect(end(session, stream)).toEqual({ result: 0, nodes: 2 });
      expect(session.read(memory, 64)).toEqual(new Uint8Array(64));
    });

    it.each([
      ['an allocation', (s: Session) => s.call('cuMemAlloc_v2', new BigUint64Array(1), 64)],
      [
        'a wait for another stream',
        (s: Session) => s.call('cuStreamSynchronize', s.make('cuStreamCreate', 1)),
      ],
    ])('%s beside a capture is refused and invalidates it, unless the thread is relaxed', (_, unsafe) => {
      const session = open();
      for (const mode of [GLOBAL, THREAD_LOCAL]) {
        const stream = capturing(session, NON_BLOCKING, mode);
        expect(unsafe(session)).toBe(UNSUPPORTED);
        expect(end(session, stream).result).toBe(INVALIDATED);
      }
      const stream = capturing(session, NON_BLOCKING, GLOBAL);
      expect(exchange(session, RELAXED)).toBe(GLOBAL);
      expect(unsafe(session)).toBe(0);
      expect(exchange(session, GLOBAL)).toBe(RELAXED);
      expect(end(session, stream)).toEqual({ result: 0, nodes: 0 });
    });

    it('waiting for the context, or for a captured stream or event, invalidates even when relaxed', () => {
      const session = open();
      exchange(session, RELAXED);
      const event = session.make('cuEventCreate', 0);
      const tries: [number, (stream: bigint) => number][] = [
        [UNSUPPORTED, () => session.call('cuCtxSynchronize')],
        [UNSUPPORTED, (stream) => session.call('cuStreamSynchronize', stream)],
        [
          CAPTURED_EVENT,
          (stream) => {
            session.do('cuEventRecord', event, stream);
            return session.call('cuEventSynchronize', event);
          },
        ],
      ];
      for (const [expected, wait] of tries) {
        const stream = capturing(session, NON_BLOCKING, GLOBAL);
        expect(wait(stream)).toBe(expected);
        expect(end(session, stream).result).toBe(INVALIDATED);
      }
      exchange(session, GLOBAL);
    });

    it('the legacy stream beside a captured blocking stream: asking is harmless, using it is not', () => {
      const session = open();
      const memory = session.allocate(64);
      const stream = capturing(session, BLOCKING, RELAXED);
      const status = new Uint8Array(4);
      expect(session.call('cuStreamIsCapturing', null, status)).toBe(IMPLICIT);
      session.do('cuStreamIsCapturing', stream, status);
      expect(status[0]).toBe(1);
      expect(session.call('cuMemsetD8Async', memory, 1, 64, null)).toBe(IMPLICIT);
      session.do('cuStreamIsCapturing', stream, status);
      expect(status[0]).toBe(2);
      expect(end(session, stream).result).toBe(INVALIDATED);
    });

    it('a stream that waits for a captured event joins the capture; the other way round is refused', () => {
      const session = open();
      const memory = session.allocate(64);
      const stream = capturing(session, NON_BLOCKING, GLOBAL);
      const event = session.make('cuEventCreate', 2);
      const other = session.make('cuStreamCreate', NON_BLOCKING);
      session.do('cuEventRecord', event, stream);
      session.do('cuStreamWaitEvent', other, event, 0);
      session.do('cuMemsetD8Async', memory, 1, 64, other);
      expect(end(session, stream)).toEqual({ result: 0, nodes: 1 });
      session.do('cuEventRecord', event, other);
      session.do('cuStreamBeginCapture_v2', stream, GLOBAL);
      expect(session.call('cuStreamWaitEvent', stream, event, 0)).toBe(ISOLATION);
      expect(end(session, stream).result).toBe(INVALIDATED);
    });

    it('an address range is that of its mapping, and unknown once it is freed', () => {
      const session = open();
      const memory = session.allocate(4096);
      const base = new BigUint64Array(1);
      const bytes = new BigUint64Array(1);
      session.do('cuMemGetAddressRange_v2', base, bytes, memory + 100n);
      expect([base[0], bytes[0]]).toEqual([memory, 4096n]);
      session.do('cuMemFree_v2', memory);
      expect(session.call('cuMemGetAddressRange_v2', base, bytes, memory + 100n)).toBe(NOT_FOUND);
    });

    it('time between two events passes only where work was reached', () => {
      const session = open();
      const memory = session.allocate(1 << 20);
      const stream = session.make('cuStreamCreate', NON_BLOCKING);
      const from = session.make('cuEventCreate', 0);
      const to = session.make('cuEventCreate', 0);
      const elapsed = new Uint8Array(4);
      session.do('cuEventRecord', from, stream);
      session.do('cuMemsetD8Async', memory, 1, 1 << 20, stream);
      session.do('cuEventRecord', to, stream);
      expect(session.call('cuEventElapsedTime', elapsed, from, to)).toBe(600);
      session.do('cuEventSynchronize', to);
      session.do('cuEventElapsedTime', elapsed, from, to);
      expect(new DataView(elapsed.buffer).getFloat32(0, true)).toBeGreaterThan(0);
    });
  },
);

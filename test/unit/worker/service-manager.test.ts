import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { datagramSender } from '../../../src/node/index.js';
import { ServiceManager } from '../../../src/worker/index.js';

type Options = Parameters<typeof ServiceManager.of>[0];

/** A service manager that keeps what it is told. */
function told(env: Options['env'], options: Partial<Options> = {}) {
  const messages: string[] = [];
  const failures: string[] = [];
  const state = { status: 'starting: the model a is loading', reachable: true };
  const manager = ServiceManager.of({
    env: { NOTIFY_SOCKET: '/run/systemd/notify', ...env },
    status: () => state.status,
    onFailure: (reason) => failures.push(reason),
    pid: 42,
    send: (path, text) => {
      expect(path).toBe('/run/systemd/notify');
      messages.push(text);
      return state.reachable;
    },
    ...options,
  });
  return { manager, messages, failures, state };
}

describe('a service manager', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('is none where no socket is named', () => {
    expect(ServiceManager.of({ env: {}, status: () => '', onFailure: () => undefined })).toBeNull();
    expect(told({ NOTIFY_SOCKET: '' }).manager).toBeNull();
  });

  it('hears that the service answers, what changes, and that it ends', () => {
    const { manager, messages, state } = told({});
    manager?.ready();
    expect(messages).toEqual(['READY=1\nSTATUS=starting: the model a is loading\n']);
    vi.advanceTimersByTime(60_000);
    expect(messages).toHaveLength(1);
    state.status = 'ready, 1 model\nREADY=0';
    vi.advanceTimersByTime(5_000);
    expect(messages[1]).toBe('STATUS=ready, 1 model READY=0\n');
    manager?.stopping();
    vi.advanceTimersByTime(60_000);
    expect(messages.slice(2)).toEqual(['STOPPING=1\nSTATUS=releasing models\n']);
  });

  it('hears signs of life three times in the time that its watchdog waits', () => {
    const { manager, messages } = told({ WATCHDOG_USEC: '3000000', WATCHDOG_PID: '42' });
    manager?.ready();
    vi.advanceTimersByTime(3_000);
    expect(messages.slice(1)).toEqual(['WATCHDOG=1\n', 'WATCHDOG=1\n', 'WATCHDOG=1\n']);
    manager?.stopping();
  });

  it('gets no signs of life where its watchdog is for another process', () => {
    const { manager, messages } = told({ WATCHDOG_USEC: '3000000', WATCHDOG_PID: '43' });
    manager?.ready();
    vi.advanceTimersByTime(30_000);
    expect(messages).toHaveLength(1);
    manager?.stopping();
  });

  it('that takes no messages is told of once', () => {
    const { manager, failures, state } = told({ WATCHDOG_USEC: '3000000' });
    state.reachable = false;
    manager?.ready();
    vi.advanceTimersByTime(30_000);
    expect(failures).toEqual([expect.stringContaining('does not take messages')]);
    manager?.stopping();
  });

  it('cannot be told without the addon', () => {
    const { manager, failures } = told({}, { send: null });
    expect(manager).toBeNull();
    expect(failures).toEqual([expect.stringContaining('the addon is missing')]);
  });

  it.each([
    [{ NOTIFY_SOCKET: 'vsock:2:1' }, 'NOTIFY_SOCKET'],
    [{ WATCHDOG_USEC: 'soon' }, 'WATCHDOG_USEC'],
    [{ WATCHDOG_USEC: '0' }, 'WATCHDOG_USEC'],
  ])('%j is refused', (env, argument) => {
    expect(() => told(env)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT', argument }));
  });
});

const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
name = sys.argv[1]
s.bind('\\0' + name[1:] if name.startswith('@') else name)
print('bound', flush=True)
print(repr(s.recv(4096).decode()), flush=True)
`;

function whatIsMissing(): string {
  if (process.platform !== 'linux' || datagramSender() === null)
    return ' (SKIPPED: no addon for this machine)';
  return spawnSync('python3', ['-c', '']).status === 0 ? '' : ' (SKIPPED: no python3 to receive with)';
}
const missing = whatIsMissing();

describe('datagrams', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'datagram-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it.skipIf(missing !== '').each([
    ['a path', () => join(folder, 'notify')],
    ['the abstract namespace', () => `@vram-residency-test-${process.pid}`],
  ])(`reach a socket at %s whole${missing}`, async (_, path) => {
    const send = datagramSender();
    const receiver: ChildProcess = spawn('python3', ['-c', RECEIVER, path()], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const { stdout } = receiver;
    if (stdout === null || send === null) throw new Error('no pipe');
    const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
    expect((await lines.next()).value).toBe('bound');
    expect(send(path(), 'READY=1\nSTATUS=é\n')).toBe(true);
    const ended = once(receiver, 'exit');
    expect((await lines.next()).value).toBe("'READY=1\\nSTATUS=é\\n'");
    await ended;
  });

  it.skipIf(missing !== '')(
    `to nobody are told not to have been sent, and bad paths are refused${missing}`,
    () => {
      const send = datagramSender();
      expect(send?.(join(folder, 'nobody'), 'x')).toBe(false);
      expect(send?.('@nobody-at-all', 'x')).toBe(false);
      expect(() => send?.('', 'x')).toThrow('path must have 1 to 107 bytes');
      expect(() => send?.(`/${'a'.repeat(107)}`, 'x')).toThrow('path must have 1 to 107 bytes');
      expect(() => send?.('/a\0b', 'x')).toThrow('null characters');
    },
  );
});

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { execPath, getgid, getgroups, getuid } from 'node:process';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { socketAddon } from '../../../support/share-client.js';
import { describeSockets, inDirectory, line, openDescriptors, until, withSocket } from './testbed.js';

const MAX_LINE = 65_536;

/**
 * A client comes and goes while this program's thread is blocked. Then the listener is closed, before the program has
 * heard of either, and nothing but the ending is waited for.
 */
const WAITS_FOR_AN_ENDING = `
const addon = require(process.argv[1]);
const path = process.argv[2];
(async () => {
  let ended;
  const ending = new Promise((resolve) => { ended = resolve; });
  const sockets = addon.openSockets((kind, _, reason) => { if (kind === 'closed') ended(reason); });
  const listener = await addon.listenAt(sockets, path, 0o600, null, 65536);
  // At the end of a turn of the event loop: what comes meanwhile waits for the next turn.
  setImmediate(() => {
    require('node:child_process').spawnSync(process.execPath, ['-e',
      "const c = require('node:net').connect(process.argv[1]);" +
      "c.on('connect', () => setTimeout(() => c.destroy(), 200));", path]);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
    addon.closeListener(sockets, listener);
  });
  console.log(await ending);
  addon.closeSockets(sockets);
})();
`;

describeSockets('lines over a Unix socket', (bed) => {
  const addon = socketAddon(bed.addon);

  it('go both ways, in order, whatever pieces they come in', async () => {
    await withSocket(bed, async ({ pair, path, accepted }) => {
      const [client, { connection, lines }] = await pair();
      client.send('one');
      client.send('two');
      await until(() => lines.length === 2);
      expect(lines).toEqual(['one', 'two']);
      for (const text of ['a', 'b', 'c']) expect(connection.send(line(text))).toBe('sent');
      for (const text of ['a', 'b', 'c'])
        expect(await client.next()).toEqual({ line: text, descriptors: [] });

      const torn = connect(path);
      await until(() => accepted.length === 2);
      for (const piece of ['ha', 'lf\nwho', 'le\n\n']) {
        torn.write(piece);
        await pause(5);
      }
      await until(() => accepted[1]?.lines.length === 3);
      expect(accepted[1]?.lines).toEqual(['half', 'whole', '']);
      torn.destroy();
    });
  });

  it('tell who connected: the kernel’s word for pid, user and groups', async () => {
    await withSocket(bed, async ({ pair }) => {
      const [, { connection }] = await pair();
      expect(connection.peer).toEqual({
        pid: process.pid,
        uid: getuid?.(),
        gid: getgid?.(),
        groups: expect.any(Array),
      });
      // Node adds the effective group.
      const groups = [...connection.peer.groups, connection.peer.gid];
      expect(new Set(groups)).toEqual(new Set(getgroups?.()));
    });
  });

  it.each([
    ['a line of exactly the limit', 'x'.repeat(MAX_LINE - 1), null],
    ['one byte more', 'x'.repeat(MAX_LINE), 'line-too-long'],
    ['a line that never ends', 'x'.repeat(4 * MAX_LINE), 'line-too-long'],
    ['a null byte', 'null \0 byte', 'nul-byte'],
  ] as const)('%s', async (_what, text, reason) => {
    await withSocket(bed, async ({ path, accepted }) => {
      const client = connect(path);
      client.on('error', () => undefined);
      const peer = await until(() => accepted[0]);
      client.write(`before\n${text}\n`);
      if (reason === null) {
        await until(() => peer.lines.length === 2);
        expect(peer.lines[1]).toBe(text);
      } else {
        expect(await peer.closed).toBe(reason);
        expect(peer.lines).not.toContain(text);
      }
      client.destroy();
    });
  });

  it('a descriptor that is sent to us closes the connection, and never becomes ours', async () => {
    await withSocket(bed, async ({ pair }) => {
      const [client, { closed, lines }] = await pair();
      const file = await addon.sealBytes(new Uint8Array(10));
      const before = openDescriptors();
      client.send('take this', [file]);
      expect(await closed).toBe('descriptor');
      expect(await client.closed).toBe('peer');
      expect(lines).toEqual([]);
      // The sender's own has gone out, both sockets are closed, and nobody waits for the process.
      expect(openDescriptors()).toBe(before - 4);
    });
  });

  it('a peer that does not read: queued within bounds, then full, and all of it arrives', async () => {
    await withSocket(bed, async ({ path, accepted }) => {
      const client = connect(path).pause();
      const { connection } = await until(() => accepted[0]);
      const text = 'y'.repeat(32_000);
      const answers: string[] = [];
      for (let k = 0; answers.at(-1) !== 'full'; k++) {
        if (k > 1000) throw new Error('never full');
        answers.push(connection.send(line(text)));
      }
      expect(new Set(answers)).toEqual(new Set(['sent', 'queued', 'full']));
      const queued = answers.filter((answer) => answer === 'queued').length * 32_001;
      expect(queued).toBeLessThanOrEqual(256 * 1024 + 32_001);
      const all = answers.length - 1;
      let arrived = 0;
      client.on('data', (chunk) => {
        arrived += chunk.length;
      });
      client.resume();
      await until(() => arrived === all * 32_001);
      expect(connection.send(line('again'))).toBe('sent');
      client.destroy();
    });
  });

  it('a peer that never reads: full on both sides, it holds up nobody, and goes with its queue', async () => {
    await withSocket(bed, async ({ path, accepted, pair }) => {
      const silent = connect(path).pause();
      const { connection, closed } = await until(() => accepted[0]);
      const text = line('y'.repeat(32_000));
      for (let k = 0; connection.send(text) !== 'full'; k++) if (k > 1000) throw new Error('never full');
      const [client, other] = await pair();
      for (let k = 0; k < 100; k++) {
        client.send(`${k}`);
        await until(() => other.lines.length === k + 1);
        expect(other.connection.send(line(`${k}`))).toBe('sent');
        expect((await client.next())?.line).toBe(`${k}`);
      }
      // Nothing was taken from the kernel's buffer meanwhile: it is full still.
      expect(connection.send(text)).toBe('full');
      connection.close();
      expect(await closed).toBe('server');
      silent.destroy();
    });
  });

  it('a flood of lines is read no faster than it is handled', async () => {
    await withSocket(bed, async ({ path, accepted }) => {
      const client = connect(path);
      client.on('error', () => undefined);
      const peer = await until(() => accepted[0]);
      const flood = `${'{"hello":1}\n'.repeat(1000)}`;
      for (let k = 0; k < 100; k++) client.write(flood);
      await until(() => peer.lines.length > 5000);
      // A second client has its turn meanwhile.
      const other = connect(path);
      await until(() => accepted[1]);
      other.write('me too\n');
      await until(() => accepted[1]?.lines.length === 1);
      await until(() => peer.lines.length === 100_000);
      client.destroy();
      other.destroy();
      expect(await peer.closed).toBe('peer');
    });
  });

  it('ends when the peer closes, when it is closed here, and once', async () => {
    await withSocket(bed, async ({ pair }) => {
      const [client, first] = await pair();
      client.close();
      expect(await first.closed).toBe('peer');
      const [other, second] = await pair();
      second.connection.close();
      second.connection.close();
      expect(await second.closed).toBe('server');
      expect(await other.closed).toBe('peer');
      // A closed connection takes everything and drops it.
      expect(second.connection.send(line('late'))).toBe('sent');
    });
  });

  it('clients that come and go leave no descriptor, on either side', async () => {
    await withSocket(bed, async ({ pair }) => {
      const comeAndGo = async (): Promise<void> => {
        const [client, { closed }] = await pair();
        client.close();
        await closed;
      };
      // The first leaves one of this process, which is kept for whoever waits for its end.
      await comeAndGo();
      const before = openDescriptors();
      for (let k = 0; k < 20; k++) await comeAndGo();
      expect(openDescriptors()).toBeLessThanOrEqual(before);
    });
  });

  it('an ending that has not arrived yet keeps the process alive, though nothing is open any more', async () => {
    await inDirectory(async (directory) => {
      const child = spawnSync(
        execPath,
        ['-e', WAITS_FOR_AN_ENDING, bed.addonPath, join(directory, 's.sock')],
        {
          encoding: 'utf8',
          timeout: 20_000,
        },
      );
      expect(child.stderr).toBe('');
      expect(child.stdout).toBe('peer\n');
      expect(child.status).toBe(0);
    });
  });

  it('a process at the other end is seen to end, also after its connection is closed', async () => {
    await withSocket(bed, async ({ path, accepted }) => {
      const program = `require('node:net').connect(${JSON.stringify(path)}).on('data', () => {}).on('close', () => {});
        setInterval(() => {}, 1000);`;
      const child = spawn(execPath, ['-e', program], { stdio: 'ignore' });
      const { connection, closed } = await until(() => accepted[0]);
      expect(connection.peer.pid).toBe(child.pid);
      const exited = connection.processExited();
      expect(connection.processExited()).toBe(exited);
      connection.close();
      expect(await closed).toBe('server');
      expect(await Promise.race([exited.then(() => 'exited'), pause(50, 'running')])).toBe('running');
      child.kill('SIGKILL');
      await once(child, 'exit');
      await exited;
      // It is told of one that is gone already, too.
      await connection.processExited();
    });
  });

  it('256 connections are open at once; one more is closed, and the next place is given away again', async () => {
    await withSocket(bed, async ({ path, accepted }) => {
      const sockets: Socket[] = [];
      const open = async (): Promise<Socket> => {
        const socket = connect(path).on('error', () => undefined);
        sockets.push(socket);
        await once(socket, 'connect');
        return socket;
      };
      // One after another: the queue of a socket is short.
      for (let k = 0; k < 256; k++) await open();
      await until(() => accepted.length === 256);
      const late = await open();
      await once(late.resume(), 'close');
      expect(accepted.length).toBe(256);
      sockets[0]?.destroy();
      await accepted[0]?.closed;
      await open();
      await until(() => accepted.length === 257);
      for (const socket of sockets) socket.destroy();
    });
  });

  it('what is not a line, no connection and no handle is refused', async () => {
    await withSocket(bed, async ({ pair }) => {
      const [, { connection }] = await pair();
      const wrong = /line must have at most 1 MiB and end with a newline/;
      expect(() => connection.send(new Uint8Array(0))).toThrow(wrong);
      expect(() => connection.send(new TextEncoder().encode('no newline'))).toThrow(wrong);
      expect(() => connection.send(line('x'), { discard: () => undefined })).toThrow(
        /"handover" must be what prepare/,
      );
    });
  });
});

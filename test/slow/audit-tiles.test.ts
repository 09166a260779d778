import { type ExecFileException, execFile, execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportTiles } from '../../src/node/audit/index.js';
import { anyEvent, openLog, scratch } from '../unit/node/audit/support.js';

const SOURCE = new URL('../oracles/tlog-tiles/main.go', import.meta.url).pathname;
/** Where Debian's golang-golang-x-mod-dev puts golang.org/x/mod; another place with GOPATH. */
const { GOPATH = '/usr/share/gocode' } = process.env;
const GO = { ...process.env, GO111MODULE: 'off', GOPATH, GOFLAGS: '', GOPROXY: 'off' };

function toolingPresent(): boolean {
  try {
    execFileSync('go', ['list', 'golang.org/x/mod/sumdb/tlog'], { env: GO, stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Sizes around the widths of a tile (256) and of a tile of tiles (65,536). */
const SIZES = [2, 255, 256, 257, 1_000, 66_000];

describe.skipIf(!toolingPresent())('the export to tlog-tiles (needs Go and golang.org/x/mod/sumdb)', () => {
  let folder = '';
  let program = '';

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tlog-tiles-'));
    program = join(folder, 'tlog-tiles');
    execFileSync('go', ['build', '-o', program, SOURCE], { env: GO, stdio: 'inherit' });
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  const read = (...args: readonly string[]): Promise<{ code: number; out: string }> =>
    new Promise((resolve, reject) => {
      execFile(program, args, (error: ExecFileException | null, stdout, stderr) => {
        if (error === null) resolve({ code: 0, out: stdout.trim() });
        else if (typeof error.code === 'number') resolve({ code: error.code, out: stderr.trim() });
        else reject(error);
      });
    });

  /** A log of `size` records, exported; and a checkpoint of about its first third. */
  async function exported(size: number): Promise<{ target: string; older: string; verifierKey: string }> {
    const place = await scratch();
    const log = await openLog(place, { maxSegmentBytes: 1_000_000 });
    const older = join(place.root, 'older');
    await writeFile(older, (await log.head()).checkpoint ?? '');
    // Opening and closing are records too.
    for (let i = 0; i < size - 2; i++) {
      await log.observer.on(anyEvent('seal.verified'));
      if (i === Math.floor(size / 3)) await writeFile(older, (await log.head()).checkpoint ?? '');
    }
    await log.close();
    const target = join(place.root, 'tiles');
    expect(await exportTiles(place.dir, target)).toMatchObject({ size, minimumIndex: 0 });
    return { target, older, verifierKey: log.verifierKey };
  }

  it.each(SIZES)(
    'of %d records is read and proved by the library of Go’s checksum database',
    async (size) => {
      const { target, older, verifierKey } = await exported(size);
      expect(await read(target, verifierKey, older)).toEqual({ code: 0, out: String(size) });
    },
  );

  it('changed anywhere is refused by it', async () => {
    const { target, older, verifierKey } = await exported(600);
    const files = [
      'checkpoint',
      'tile/0/000',
      'tile/0/002.p/88',
      'tile/1/000.p/2',
      'tile/entries/001',
      'tile/entries/002.p/88',
    ];
    for (const file of files) {
      const path = join(target, file);
      const intact = await readFile(path);
      for (const at of [0, Math.floor(intact.length / 2), intact.length - 2]) {
        const changed = Buffer.from(intact);
        changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
        await writeFile(path, changed);
        expect(await read(target, verifierKey, older), `${file} at ${at}`).toMatchObject({ code: 1 });
      }
      await writeFile(path, intact);
    }
    const another = await exported(600);
    expect(await read(target, another.verifierKey)).toMatchObject({ code: 1 });
    expect(await read(target, verifierKey, another.older)).toMatchObject({ code: 1 });
    expect(await read(target, verifierKey, older)).toMatchObject({ code: 0 });
  });
});

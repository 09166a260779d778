import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Command, CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import type { AuditReport } from '../../../../src/audit/index.js';
import { auditCommand } from '../../../../src/cli/commands/audit.js';
import { combineExitCodes, type ExitCode, exitCodeOf } from '../../../../src/cli/exit-codes.js';
import {
  exportTiles,
  proveAudit,
  showAudit,
  verifyAudit,
  verifyProof,
} from '../../../../src/node/audit/index.js';
import { stride } from '../../../support/stride.js';
import { naiveCheckpoint, naiveRoot } from '../../audit/oracle.js';
import { bundle } from './kill.js';
import { anyEvent, emit, event, openLog, scratch, TOKEN } from './support.js';

type Place = Awaited<ReturnType<typeof scratch>>;

interface Written {
  readonly place: Place;
  readonly verifierKey: string;
  readonly publicKey: Uint8Array;
  readonly lines: readonly string[];
  /** Of the first two thirds. */
  readonly older: string;
}

async function written(count = 30, maxSegmentBytes = 4_000): Promise<Written> {
  const place = await scratch();
  const log = await openLog(place, { maxSegmentBytes });
  let older = '';
  for (let i = 0; i < count; i++) {
    const at = `20${String(10 + Math.floor(i / 5)).padStart(2, '0')}-01-01T00:00:00.000Z`;
    emit(log, i % 3 === 0 ? event('vram.sealed', { at, shardId: `s-${i}` }) : anyEvent('seal.verified'));
    if (i === Math.floor((count * 2) / 3)) older = (await log.head()).checkpoint ?? '';
  }
  await log.close();
  const lines: string[] = [];
  for (const name of (await readdir(place.dir)).filter((each) => each.endsWith('.ndjson')).sort()) {
    lines.push(...(await readFile(join(place.dir, name), 'utf8')).split('\n').slice(0, -1));
  }
  return { place, verifierKey: log.verifierKey, publicKey: log.signerPublicKey, lines, older };
}

/** Runs `audit ARGS` and gives what it printed and its exit code. */
async function cli(...args: readonly string[]): Promise<{ code: ExitCode; out: string; err: string }> {
  let out = '';
  let err = '';
  const codes: ExitCode[] = [];
  const io = {
    stdout: (text: string) => {
      out += text;
    },
    stderr: (text: string) => {
      err += text;
    },
    stdoutIsTerminal: false,
    stderrIsTerminal: false,
    columns: 80,
    env: {},
    signal: new AbortController().signal,
  };
  const program = new Command('vram-residency').exitOverride();
  program.configureOutput({ writeOut: io.stdout, writeErr: io.stderr });
  program.addCommand(auditCommand(io, (code) => codes.push(code)));
  for (const command of [...program.commands, ...program.commands.flatMap((each) => each.commands)]) {
    command.copyInheritedSettings(program).exitOverride();
  }
  try {
    await program.parseAsync(['audit', ...args], { from: 'user' });
  } catch (error) {
    codes.push(error instanceof CommanderError ? 2 : exitCodeOf(error));
    err += error instanceof Error ? error.message : '';
  }
  return { code: combineExitCodes(codes), out, err };
}

function script(...args: readonly string[]): Promise<{ code: number; out: string }> {
  const path = new URL('../../../../examples/verify-proof.mjs', import.meta.url).pathname;
  return new Promise((resolve) => {
    execFile(process.execPath, [path, ...args], (error, out) =>
      resolve({ code: error === null ? 0 : Number(error.code), out }),
    );
  });
}

describe('proofs of a log directory', () => {
  it('are checked by ours and by a script that shares nothing with us, for every record', async () => {
    const { place, verifierKey, lines } = await written(12);
    const file = join(place.root, 'proof.json');
    for (let seq = 0; seq < lines.length; seq++) {
      const proof = await proveAudit(place.dir, { seq });
      expect(await verifyProof(JSON.stringify(proof), verifierKey)).toMatchObject({
        ok: true,
        index: seq,
        leaf: lines[seq],
      });
      if (seq % 5 !== 0) continue;
      await writeFile(file, JSON.stringify(proof));
      expect(await script(file, verifierKey)).toEqual({
        code: 0,
        out: `OK: record ${seq} of ${lines.length}\n${lines[seq]}\n`,
      });
    }
    await expect(proveAudit(place.dir, { seq: lines.length })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
    });
  });

  it('say that an older checkpoint is a part of the log', async () => {
    const { place, verifierKey, older, lines } = await written(12);
    const proof = await proveAudit(place.dir, { since: older });
    const report = await verifyProof(JSON.stringify(proof), verifierKey);
    expect(report).toMatchObject({ ok: true, kind: 'consistency', treeSize: lines.length });
    const file = join(place.root, 'proof.json');
    await writeFile(file, JSON.stringify(proof));
    expect((await script(file, verifierKey)).out).toBe(
      `OK: the first ${report.oldSize} of ${lines.length} records are unchanged\n`,
    );
  });

  it('fail in both once anything in them is changed', async () => {
    const { place, verifierKey, older } = await written(12);
    const other = (await written(12)).verifierKey;
    const inclusion = await proveAudit(place.dir, { seq: 5 });
    const consistency = await proveAudit(place.dir, { since: older });
    if (inclusion.kind !== 'inclusion' || consistency.kind !== 'consistency') throw new Error('wrong kinds');
    const wrong = Buffer.alloc(32, 1).toString('base64');
    const changed: object[] = [
      { ...inclusion, leaf: inclusion.leaf.replace('HIGH', 'LOW') },
      { ...inclusion, index: 4 },
      { ...inclusion, hashes: inclusion.hashes.with(0, wrong) },
      { ...inclusion, hashes: inclusion.hashes.slice(1) },
      { ...inclusion, checkpoint: inclusion.checkpoint.replace(/\n\d+\n/, '\n13\n') },
      { ...consistency, hashes: consistency.hashes.with(0, wrong) },
      { ...consistency, hashes: [...consistency.hashes, wrong] },
      { ...consistency, oldCheckpoint: consistency.checkpoint },
    ];
    const file = join(place.root, 'proof.json');
    for (const proof of changed) {
      expect(await verifyProof(JSON.stringify(proof), verifierKey)).toMatchObject({ ok: false, leaf: null });
      await writeFile(file, JSON.stringify(proof));
      expect((await script(file, verifierKey)).code).toBe(1);
    }
    expect(await verifyProof(JSON.stringify(inclusion), other)).toMatchObject({ ok: false });
    for (const text of [
      '',
      '[]',
      '{"v":2}',
      '{"v":1,"kind":"inclusion"}',
      JSON.stringify({ ...inclusion, index: -1 }),
    ]) {
      await expect(verifyProof(text, verifierKey)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    }
  });

  it('are not made from records that are not those of the checkpoint', async () => {
    const { place } = await written(6, 100_000);
    const name = (await readdir(place.dir)).find((each) => each.endsWith('.ndjson')) ?? '';
    const path = join(place.dir, name);
    await writeFile(path, (await readFile(path, 'utf8')).replace('shard-1', 'shard-2'));
    await expect(proveAudit(place.dir, { seq: 0 })).rejects.toMatchObject({ code: 'AUDIT_CORRUPT' });
    await expect(exportTiles(place.dir, join(place.root, 'tiles'))).rejects.toMatchObject({
      code: 'AUDIT_CORRUPT',
    });
  });
});

describe('the export to tlog-tiles', () => {
  it.each([1, 254, 600])('of %d events is what C2SP says, read by an independent reader', async (events) => {
    const { place, publicKey, lines } = await written(events, 100_000);
    const target = join(place.root, 'tiles');
    const report = await exportTiles(place.dir, target);
    const head = naiveCheckpoint(await readFile(join(target, 'checkpoint'), 'utf8'), publicKey);
    expect(report).toMatchObject({ size: lines.length, minimumIndex: 0 });
    expect(head.size).toBe(lines.length);
    const entries: Buffer[] = [];
    for (let first = 0; first < lines.length; first += 256) {
      const width = Math.min(256, lines.length - first);
      const suffix = `${String(first / 256).padStart(3, '0')}${width < 256 ? `.p/${width}` : ''}`;
      const bundled = await readFile(join(target, 'tile/entries', suffix));
      const tile = await readFile(join(target, 'tile/0', suffix));
      expect(tile).toHaveLength(32 * width);
      for (let at = 0, i = 0; at < bundled.length; i++) {
        const length = bundled.readUInt16BE(at);
        const entry = bundled.subarray(at + 2, at + 2 + length);
        expect(tile.subarray(32 * i, 32 * i + 32)).toEqual(naiveRoot([entry]));
        entries.push(entry);
        at += 2 + length;
      }
    }
    expect(entries.map(String)).toEqual(lines);
    expect(naiveRoot(entries)).toEqual(head.root);
    const full = Math.floor(lines.length / 256);
    if (full === 0) await expect(stat(join(target, 'tile/1'))).rejects.toThrow('ENOENT');
    else {
      const upper = await readFile(join(target, `tile/1/000.p/${full}`));
      for (let i = 0; i < full; i++) {
        expect(upper.subarray(32 * i, 32 * i + 32)).toEqual(naiveRoot(entries.slice(256 * i, 256 * (i + 1))));
      }
    }
  });
});

describe('showing', () => {
  it('filters by type, severity, shard, time and correlation id', async () => {
    const { place, lines } = await written();
    const count = async (options: Parameters<typeof showAudit>[1]): Promise<number> => {
      let records = 0;
      for await (const _ of showAudit(place.dir, options)) records += 1;
      return records;
    };
    expect(await count({})).toBe(lines.length);
    expect(await count({ types: ['vram.sealed'] })).toBe(10);
    expect(await count({ severities: ['CRITICAL'] })).toBe(10);
    expect(await count({ shardId: 's-3' })).toBe(1);
    expect(await count({ correlationId: 'request-7' })).toBe(30);
    expect(await count({ correlationId: 'another' })).toBe(0);
    expect(await count({ types: ['vram.sealed'], since: '2011-01-01', until: '2012-01-01T00:00:00Z' })).toBe(
      2,
    );
    await expect(count({ since: 'yesterday' })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'since',
    });
  });
});

describe('verification in threads', () => {
  // What it bundles for the threads has no mutants.
  it.runIf(stride(2) === 1)('says what one thread says, of a good log and of a bad one', async () => {
    const { place } = await written(60, 3_000);
    const out = join(place.root, 'bundle');
    await bundle(out, {
      index: new URL('../../../../src/node/audit/index.ts', import.meta.url).pathname,
      'verify-worker': new URL('../../../../src/node/audit/verify-worker.ts', import.meta.url).pathname,
    });
    const compiled = (await import(pathToFileURL(join(out, 'index.js')).href)) as {
      verifyAudit: (dir: string, options: object) => Promise<AuditReport>;
    };
    const both = async (checkpoint?: string): Promise<AuditReport> => {
      const options = {
        token: TOKEN,
        keyFile: place.keyFile,
        ...(checkpoint === undefined ? {} : { checkpoint }),
      };
      const one = await verifyAudit(place.dir, { ...options, workers: 1 });
      expect(await compiled.verifyAudit(place.dir, { ...options, workers: 3 })).toEqual(one);
      return one;
    };
    const good = await both();
    expect(good).toMatchObject({ ok: true, records: 62 });
    expect(good.segments).toBeGreaterThan(8);
    const names = (await readdir(place.dir)).filter((each) => each.endsWith('.ndjson')).sort();
    for (const index of [0, 4, names.length - 1]) {
      const path = join(place.dir, names[index] ?? '');
      const intact = await readFile(path, 'utf8');
      await writeFile(path, intact.replace('request-7', 'request-8').replace('audit.closed', 'audit.opened'));
      expect((await both()).ok).toBe(false);
      await unlink(path);
      expect((await both()).ok).toBe(false);
      await writeFile(path, intact);
    }
    await unlink(join(place.dir, names[3] ?? ''));
    await mkdir(join(place.dir, names[3] ?? ''));
    await expect(both()).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
  });
});

describe('the command line', () => {
  it('verifies, shows, proves, exports, prints the key; 6 for a bad log, 2 for bad usage', async () => {
    const { place, verifierKey, lines, older } = await written(12, 100_000);
    const tokenFile = join(place.root, 'token');
    await writeFile(tokenFile, `${new TextDecoder().decode(TOKEN)}\n`, { mode: 0o600 });
    const kept = join(place.root, 'kept');
    await writeFile(kept, older);
    const keys = ['--key-file', place.keyFile];

    const good = await cli('verify', place.dir, '--token-file', tokenFile, '--checkpoint', kept, ...keys);
    expect(good).toMatchObject({ code: 0, err: '' });
    expect(good.out).toContain(`OK: ${lines.length} records`);
    const json = await cli('verify', place.dir, '--verifier-key', verifierKey, '--json');
    expect(JSON.parse(json.out)).toMatchObject({
      v: 1,
      ok: true,
      chain: 'links-only',
      signature: 'verified',
    });

    expect((await cli('key', place.dir, ...keys)).out).toBe(`${verifierKey}\n`);
    const proof = await cli('prove', place.dir, '--seq', '3');
    const file = join(place.root, 'proof.json');
    await writeFile(file, proof.out);
    const keyLine = join(place.root, 'verifier-key');
    await writeFile(keyLine, `${verifierKey}\n`);
    expect(await cli('verify-proof', file, '--verifier-key', keyLine)).toMatchObject({
      code: 0,
      out: `OK: record 3 of ${lines.length} in ${verifierKey.split('+')[0]}\n${lines[3]}\n`,
    });
    await writeFile(file, proof.out.replace('"index": 3', '"index": 4'));
    expect((await cli('verify-proof', file, '--verifier-key', verifierKey)).code).toBe(6);
    expect((await cli('prove', place.dir, '--since', kept)).code).toBe(0);
    expect((await cli('export', place.dir, join(place.root, 'tiles'), '--json')).code).toBe(0);

    const shown = await cli('show', place.dir, '--type', 'vram.sealed', '--format', 'ndjson');
    expect(shown.out.split('\n').slice(0, -1)).toEqual(lines.filter((line) => line.includes('vram.sealed')));
    expect(JSON.parse((await cli('show', place.dir, '--json', '--limit', '2')).out)).toMatchObject({
      v: 1,
      records: [{ seq: 0 }, { seq: 1 }],
    });
    expect((await cli('show', place.dir, '--shard', 's-3')).out).toMatch(
      /CRITICAL {2}vram.sealed .*shardId=s-3/,
    );
    const pruned = await cli('prune', place.dir, '--token-file', tokenFile, '--json', ...keys);
    expect(JSON.parse(pruned.out)).toMatchObject({ removedRecords: 0 });

    for (const args of [
      ['verify', join(place.root, 'nowhere'), '--token-file', tokenFile],
      ['verify', place.dir, '--token-file', join(place.root, 'nowhere')],
      ['verify', place.dir, '--verifier-key', `${verifierKey}x`],
      ['verify', place.dir, '--chekpoint', kept],
      ['prove', place.dir],
      ['prove', place.dir, '--seq', '1', '--since', kept],
      ['prove', place.dir, '--seq', '-1'],
      ['show', place.dir, '--type', 'vram.seal'],
      ['prune', place.dir],
      ['verify-proof', kept, '--verifier-key', verifierKey],
    ]) {
      expect((await cli(...args)).code, args.join(' ')).toBe(2);
    }
    const name = (await readdir(place.dir)).find((each) => each.endsWith('.ndjson')) ?? '';
    const path = join(place.dir, name);
    await writeFile(path, (await readFile(path, 'utf8')).replace('s-3', 's-4'));
    const bad = await cli('verify', place.dir, '--token-file', tokenFile, ...keys);
    expect(bad.code).toBe(6);
    expect(bad.out).toContain('BAD: record 4 has a MAC that does not hold');
    expect(bad.out).toContain(`in ${name}, byte`);
    expect((await cli('verify', place.dir, ...keys, '--json')).code).toBe(6);
    expect((await cli('prove', place.dir, '--seq', '1')).code).toBe(6);
  });
});

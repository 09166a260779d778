import { execFile } from 'node:child_process';
import { mkdir, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { AUDIT_CATALOGUE, auditData } from '../../src/audit/format/catalogue.js';
import { signCheckpoint } from '../../src/audit/format/checkpoint.js';
import { KeyRatchet } from '../../src/audit/format/keys.js';
import { segmentStem } from '../../src/audit/format/segment.js';
import { Chain, emptyChain } from '../../src/audit/write/chain.js';
import { openedData } from '../../src/audit/write/observer.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { openKeyFile } from '../../src/node/keys/key-file.js';
import { event, TOKEN, WORKER } from '../unit/audit/events.js';
import { bundle } from '../unit/node/audit/kill.js';
import { scratch } from '../unit/node/audit/support.js';

const run = promisify(execFile);
const LOG_ID = '5a'.repeat(16);
/** 10 million take some 6 GB of disk and a quarter of an hour; fewer with AUDIT_RECORDS. */
const RECORDS = Number(process.env['AUDIT_RECORDS'] ?? 10_000_000);
const MAX_GROWTH_KIB = 65_536;

/** Writes a log of `count` records without waiting for the disk. */
async function write(
  place: { readonly dir: string; readonly keyFile: string },
  count: number,
): Promise<void> {
  await mkdir(place.dir, { recursive: true });
  const signer = await openKeyFile(place.keyFile, { logDirectory: place.dir });
  const ratchet = await KeyRatchet.fromToken(nodeCrypto, TOKEN, WORKER, LOG_ID);
  const chain = new Chain(nodeCrypto, emptyChain(nodeCrypto, WORKER, LOG_ID, ratchet));
  const verified = event('seal.verified');
  const opened = await openedData(nodeCrypto, WORKER, LOG_ID, signer, false);
  let name = '';
  let file = await open(join(place.dir, 'none'), 'w');
  let buffered: Uint8Array[] = [];
  for (let seq = 0; seq < count; seq++) {
    const type = seq === 0 ? ('audit.opened' as const) : verified.type;
    const { bytes, segment } = await chain.append({
      type,
      severity: AUDIT_CATALOGUE[type].severity,
      ts: verified.at,
      correlationId: verified.correlationId,
      traceparent: verified.traceparent,
      data: seq === 0 ? opened : auditData(verified),
    });
    const stem = segmentStem(segment);
    if (stem !== name || buffered.length === 4_096) {
      if (buffered.length > 0) await file.write(Buffer.concat(buffered));
      buffered = [];
    }
    if (stem !== name) {
      await file.close();
      name = stem;
      file = await open(join(place.dir, `${stem}.ndjson`), 'w');
    }
    buffered.push(bytes);
  }
  await file.write(Buffer.concat(buffered));
  await file.close();
  await rm(join(place.dir, 'none'));
  const head = { origin: chain.origin, size: chain.size, root: await chain.root() };
  await writeFile(join(place.dir, 'checkpoint'), (await signCheckpoint(nodeCrypto, head, signer)).note);
}

describe('verification of a large log', () => {
  it(`[AU-002] of ${RECORDS} records takes no more memory than of a hundredth, alone and in threads`, async () => {
    const small = await scratch();
    const large = await scratch();
    const out = join(small.root, 'bundle');
    await bundle(out, {
      verify: new URL('./audit-large-verify.ts', import.meta.url).pathname,
      'verify-worker': new URL('../../src/node/audit/verify-worker.ts', import.meta.url).pathname,
    });
    await write(small, Math.max(50_000, RECORDS / 100));
    await write(large, RECORDS);
    const verify = async (place: { dir: string; keyFile: string }, workers: number) => {
      const { stdout } = await run(process.execPath, [
        join(out, 'verify.js'),
        place.dir,
        place.keyFile,
        String(workers),
      ]);
      const result = JSON.parse(stdout) as { ok: boolean; records: number; seconds: number; peakKiB: number };
      expect(result.ok).toBe(true);
      console.info(
        `${workers} threads: ${JSON.stringify(result)}, ${Math.round(result.records / result.seconds)} a second`,
      );
      return result;
    };
    const base = await verify(small, 1);
    const alone = await verify(large, 1);
    expect(alone.records).toBe(RECORDS);
    expect(alone.peakKiB - base.peakKiB).toBeLessThan(MAX_GROWTH_KIB);
    const threads = await verify(large, 2);
    expect(threads.peakKiB).toBeLessThan(2 * base.peakKiB + 2 * MAX_GROWTH_KIB);
  }, 3_600_000);
});

// The page under test: the shared contract suite and a seal-verify run over the built bundle, in a real browser.
import * as library from '../../dist/browser.js';
import { contractCases } from '../contract/cases.js';
import { ContractRun } from '../contract/run.js';
import type { PageReport, SealReport } from './report.js';

/** SwiftShader hashes some megabytes a second. */
const MAX_BYTES = 4 * 1024 * 1024;

async function contract(): Promise<PageReport[]> {
  const backend = library.browserWebGpuBackend();
  const oracle = library.createPortableEngine('hash-wasm');
  const run = new ContractRun({
    name: 'webgpu (page)',
    open: (options) => backend.open(0, options),
    oracle,
    maxBytes: MAX_BYTES,
  });
  const reports: PageReport[] = [];
  for (const test of contractCases) {
    const outcome = await run.run(test);
    reports.push({
      name: test.name,
      status: outcome.status,
      detail:
        outcome.status === 'skipped'
          ? outcome.reason
          : outcome.status === 'failed'
            ? String(outcome.error instanceof Error ? outcome.error.message : outcome.error)
            : null,
    });
  }
  await run.close();
  return reports;
}

async function sealAndVerify(url: string): Promise<SealReport> {
  const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer());
  const manager = await library.VramManager.open({ device: 'webgpu:0', policy: 'any', workerId: 'page' });
  try {
    const shard = await manager.seal(library.bytesSource(bytes), { shardId: 'weights' });
    const report = await manager.verify(shard);
    await manager.release(shard);
    return {
      sha256: shard.sha256,
      fsverity: shard.fsverity,
      residency: shard.residency,
      immutability: shard.immutability,
      verified: report.verified,
      globals: Object.keys(globalThis).filter((name) => /vram|gpubuffer(usage)?$/i.test(name)),
    };
  } finally {
    await manager.close();
  }
}

Object.assign(globalThis, { pageTests: { contract, sealAndVerify } });

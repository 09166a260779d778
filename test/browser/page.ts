// The page under test: the shared contract suite and a seal-verify run over the built library, in a real browser.
import * as library from '../../dist/browser.js';
import { webgpuBackend } from '../../dist/device/webgpu/index.js';
import { createPortableEngine } from '../../dist/digest/index.js';
import { contractCases } from '../contract/cases.js';
import { ContractRun } from '../contract/run.js';
import { webGpuFaults } from '../support/webgpu-faults.js';
import type { AuditPageReport, PageReport, SealReport } from './report.js';

/** SwiftShader hashes some megabytes a second. */
const MAX_BYTES = 4 * 1024 * 1024;

async function requestGpuDevice(): Promise<GPUDevice> {
  const adapter = await navigator.gpu.requestAdapter();
  if (adapter === null) throw new Error('the page has no adapter');
  return await adapter.requestDevice();
}

async function contract(): Promise<PageReport[]> {
  const backend = webgpuBackend({ gpu: () => Promise.resolve(navigator.gpu), adviceWithoutAdapter: '' });
  const run = new ContractRun({
    name: 'webgpu in a page',
    open: (options) => backend.open(0, options),
    oracle: createPortableEngine('hash-wasm'),
    maxBytes: MAX_BYTES,
    ...webGpuFaults({
      request: requestGpuDevice,
      adopt: (gpu, options) => library.adoptGpuDevice(gpu, {}, options),
    }),
  });
  const reports: PageReport[] = [];
  for (const test of contractCases) {
    const outcome = await run.run(test);
    reports.push({ name: test.name, status: outcome.status, detail: detailOf(outcome) });
  }
  await run.close();
  return reports;
}

function detailOf(outcome: Awaited<ReturnType<ContractRun['run']>>): string | null {
  if (outcome.status === 'skipped') return outcome.reason;
  if (outcome.status === 'passed') return null;
  return outcome.error instanceof Error ? outcome.error.message : 'unknown failure';
}

async function sealAndVerify(url: string): Promise<SealReport> {
  const before = new Set(Object.getOwnPropertyNames(globalThis));
  const source = await library.urlSource(new URL(url, location.href));
  const manager = await library.VramManager.open({ device: 'webgpu:0', policy: 'any', workerId: 'page' });
  try {
    const shard = await manager.seal(source, { shardId: 'weights' });
    const report = await manager.verify(shard);
    await manager.release(shard);
    return {
      sha256: shard.sha256,
      fsverity: shard.fsverity,
      residency: shard.residency,
      immutability: shard.immutability,
      verified: report.verified,
      newGlobals: Object.getOwnPropertyNames(globalThis).filter((name) => !before.has(name)),
    };
  } finally {
    await manager.close();
  }
}

/** What a page gets that asks for the default policy. */
async function openVramOnly(): Promise<string> {
  try {
    const manager = await library.VramManager.open({ workerId: 'page' });
    await manager.close();
    return 'opened';
  } catch (error) {
    return library.isVramError(error) ? error.code : 'unknown';
  }
}

/** An audit log in the page's memory, and weights on a GPUDevice that is the page's own. */
async function auditOnOwnDevice(): Promise<AuditPageReport> {
  const gpu = await requestGpuDevice();
  const device = await library.adoptGpuDevice(gpu);
  const sink = new library.MemorySink();
  const token = crypto.getRandomValues(new Uint8Array(32));
  const log = await library.auditObserver({ sink, workerId: 'page', token });
  const manager = await library.VramManager.open({
    device,
    policy: 'any',
    workerId: 'page',
    observers: [log],
  });
  const shard = await manager.seal(library.bytesSource(new Uint8Array(10_000).fill(7)));
  const { verified } = await manager.verify(shard);
  await manager.close();
  await device.close();
  // A destroyed device is lost at once; it reports no error of what is asked of it afterwards.
  const wasLost = gpu.lost.then(() => true);
  const isLost = await Promise.race([wasLost, new Promise((resolve) => setTimeout(resolve, 200, false))]);
  const ownDeviceWorks = isLost === false;
  gpu.destroy();
  return { types: sink.records().map(({ type }) => type), verified, ownDeviceWorks };
}

Object.assign(globalThis, { pageTests: { contract, sealAndVerify, openVramOnly, auditOnOwnDevice } });

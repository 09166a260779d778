// The worker under test: a manager of its own, digests in workers below it, and an audit log in the private file system.
import * as library from '../../dist/browser.js';
import type { RuntimeAudit } from './report.js';

const TOKEN = new Uint8Array(32).fill(9);

/** Seals, verifies, loses its device, and gives the log's files. */
async function audited(): Promise<RuntimeAudit> {
  const sink = await library.OpfsAuditSink.open();
  const log = await library.auditObserver({
    sink,
    workerId: 'page',
    token: TOKEN.slice(),
    signer: await library.generateSigner(),
  });
  const engine = library.digestWorkers({
    worker: () => new Worker('/digest-worker.js', { type: 'module' }),
    workers: 2,
  });
  const adapter = await navigator.gpu.requestAdapter();
  const gpu = await adapter?.requestDevice();
  if (gpu === undefined) throw new Error('the worker has no adapter');
  const device = await library.adoptGpuDevice(gpu);
  const manager = await library.VramManager.open({
    device,
    engine,
    policy: 'any',
    workerId: 'page',
    observers: [log],
  });
  const shard = await manager.seal(library.bytesSource(new Uint8Array(3_000_000).fill(7)));
  const { verified } = await manager.verify(shard);
  gpu.destroy();
  await device.lost;
  let afterLoss = 'verified';
  try {
    await manager.verify(shard);
  } catch (error) {
    afterLoss = library.isVramError(error) ? error.code : String(error);
  }
  await manager.close();
  await engine.close();
  const files = await Promise.all(
    (await sink.files()).map(async ({ name, blob }) => ({ name, text: await blob.text() })),
  );
  const listed = (await library.opfsAuditLogs()).some(({ name }) => name === sink.logName);
  return { verified, afterLoss, files, listed, fsverity: shard.fsverity };
}

addEventListener('message', () => {
  audited().then(
    (report) => postMessage({ report }),
    (error: unknown) => postMessage({ error: String(error) }),
  );
});

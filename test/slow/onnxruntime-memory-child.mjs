// Seals an ONNX model with the built library, each tensor a buffer of its own, and prints what memory that took, as JSON.
// Arguments: a small model that is sealed first, the model.
import { readFileSync } from 'node:fs';
import { openModel, VramManager } from '../../dist/index.js';
import { openDevice, sealOnnx } from '../../dist/onnxruntime.js';
import { prepareVulkan } from '../support/vulkan.mjs';

const [small, large] = process.argv.slice(2);
await prepareVulkan();
const statusKib = (name) =>
  Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))[1]);

const device = await openDevice();
const manager = await VramManager.open({ device, workerId: 'slow', policy: 'any' });
const first = await sealOnnx(manager, await openModel(small));
await manager.verify(first.shard);
globalThis.gc?.();
const before = statusKib('VmRSS') * 1024;
const started = performance.now();
const { shard, source, movedBytes, stayingBytes, graph } = await sealOnnx(manager, await openModel(large));
const sealMs = performance.now() - started;
const peak = statusKib('VmHWM') * 1024;
const report = await manager.verify(shard);
await source.close();
await first.source.close();
await manager.close();
await device.close();
console.log(
  JSON.stringify({
    movedBytes,
    stayingBytes,
    graphBytes: graph.length,
    verified: report.verified,
    overheadBytes: peak - before - shard.byteLength,
    sealMs,
    verifyMs: report.durationMs,
  }),
);

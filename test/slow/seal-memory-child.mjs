// Seals and verifies a file with the built library, and prints what memory that took, as JSON. Arguments: device, file.
import { readFileSync } from 'node:fs';
import { VramManager } from '../../dist/index.js';
import { fileSource } from '../../dist/node/files/file-source.js';

const [device, file] = process.argv.slice(2);
if (device.startsWith('webgpu')) {
  const { prepareVulkan } = await import('../support/vulkan.mjs');
  await prepareVulkan();
}
const rssKib = (name) =>
  Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))[1]);

const manager = await VramManager.open({ device, workerId: 'slow', policy: 'any' });
const small = await manager.seal({
  byteLength: 1,
  label: 'one byte',
  async *stream() {
    yield new Uint8Array(1);
  },
  unchanged: async () => {},
  close: async () => {},
});
await manager.verify(small);
globalThis.gc?.();
const before = rssKib('VmRSS') * 1024;
const source = await fileSource(file);
const started = performance.now();
const shard = await manager.seal(source);
const sealMs = performance.now() - started;
const report = await manager.verify(shard);
const peak = rssKib('VmHWM') * 1024;
await source.close();
await manager.close();
console.log(
  JSON.stringify({
    name: shard.device.name,
    byteLength: shard.byteLength,
    overheadBytes: peak - before - shard.byteLength,
    sealMs,
    verifyMs: report.durationMs,
    sha256: shard.sha256,
  }),
);

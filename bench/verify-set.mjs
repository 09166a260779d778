// node bench/verify-set.mjs [--shards 100] [--size 65536] [--rounds 9] [--device host|webgpu:0|cuda:0]...: verifying many
// small shards together (verifySet) against one by one. Prints a Markdown table of medians; the ratio is the
// median over the rounds.
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { VramManager } from '../dist/index.js';
import { prepareVulkan } from '../test/support/vulkan.mjs';

const { values } = parseArgs({
  options: {
    shards: { type: 'string', default: '100' },
    size: { type: 'string', default: '65536' },
    rounds: { type: 'string', default: '9' },
    device: { type: 'string', multiple: true, default: ['host', 'webgpu:0'] },
  },
});
const totalShards = Number(values.shards);

console.log(`${cpus()[0]?.model ?? 'CPU'}, ${cpus().length} cores, Node ${process.version}\n`);
console.log('| device | shards | one by one, ms | together, ms | ratio |');
console.log('|---|---|---|---|---|');
for (const device of values.device) {
  if (device.startsWith('webgpu')) await prepareVulkan();
  const manager = await VramManager.open({ device, workerId: 'bench', policy: 'any' });
  const shards = [];
  for (let shardIndex = 0; shardIndex < totalShards; shardIndex++) {
    const bytes = new Uint8Array(Number(values.size)).fill(shardIndex + 1);
    shards.push(await manager.seal(inMemory(bytes), { modelRef: 'bench', shardIndex, totalShards }));
  }
  const single = [];
  const together = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    single.push(
      await elapsed(async () => {
        for (const shard of shards) await manager.verify(shard);
      }),
    );
    together.push(await elapsed(() => manager.verifySet('bench')));
  }
  const ratios = single.map((ms, round) => ms / together[round]);
  const figures = [median(single).toFixed(1), median(together).toFixed(1), median(ratios).toFixed(2)];
  console.log(`| ${manager.device.name} | ${totalShards} of ${values.size} bytes | ${figures.join(' | ')} |`);
  await manager.close();
}

function inMemory(bytes) {
  return {
    byteLength: bytes.length,
    label: 'made data',
    async *stream() {
      yield bytes;
    },
    unchanged: async () => {},
    close: async () => {},
  };
}

async function elapsed(work) {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

function median(numbers) {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

// Lend, compute, damage, revoke, heal, compute again: node examples/sharing/story.mjs
// The worker is this process, the engine a Python of its own. Over the emulated driver unless there is an NVIDIA GPU:
// npm run build:emulator; VRAM_RESIDENCY_LIBCUDA=native/emulator/build/libcuda.so.1 node examples/sharing/story.mjs
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { openModel, openShareServer, tensorSource, VramManager } from 'vram-residency';

const WEIGHTS = 100_000;

function safetensors(weights) {
  const header = JSON.stringify({
    w: { dtype: 'U8', shape: [weights.length], data_offsets: [0, weights.length] },
  });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, Buffer.from(header), weights]);
}

/** The engine: obeys one order at a time, and answers in a line. */
function startEngine(socket) {
  const client = fileURLToPath(new URL('story.py', import.meta.url));
  const packages = fileURLToPath(new URL('../../clients/python/src', import.meta.url));
  const child = spawn(process.env.PYTHON ?? 'python3', [client, socket], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, PYTHONPATH: packages },
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    async order(text) {
      child.stdin.write(`${text}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error('the engine has ended');
      console.log(`engine  ${text}: ${value}`);
    },
    async end() {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.stdin.end();
      await ended;
    },
  };
}

const folder = await mkdtemp(join(tmpdir(), 'sharing-story-'));
const file = join(folder, 'weights.safetensors');
await writeFile(file, safetensors(Buffer.from(Array.from({ length: WEIGHTS }, (_, k) => (k * 31) % 251))));
const source = tensorSource(await openModel(file));
const manager = await VramManager.open({
  device: 'cuda:0',
  workerId: 'story',
  policy: 'any',
  drills: true,
});
const shard = await manager.seal(source, { share: true });
const { name } = shard.device;
console.log(`worker  sealed on ${name}${shard.emulated ? ', emulated' : ''}`);
const socket = join(folder, 'share.sock');
const server = await openShareServer(manager, { socket, models: { weights: shard } });
const engine = startEngine(socket);
try {
  await engine.order('compute');
  await engine.order('check');
  await manager.drill(shard, { seed: 1 });
  console.log('worker  one bit of the lent weights is flipped');
  await engine.order('compute');
  await manager.verify(shard).catch(({ code }) => console.log(`worker  verified: ${code}`));
  await engine.order('check');
  const { healedBlocks } = await manager.heal(shard, source);
  console.log(`worker  healed ${healedBlocks} block`);
  await engine.order('lend');
  await engine.order('compute');
} finally {
  await engine.end();
  await server.close();
  await manager.close();
  await source.close();
  await rm(folder, { recursive: true });
}

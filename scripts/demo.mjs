// npm run demo: seals a real model into device memory, verifies it in place, and says what that proved.
import { createRequire } from 'node:module';
import { prepareVulkan } from '../test/support/vulkan.mjs';

// Quick when nothing changed much; a stale build would demonstrate something else.
await import('./build.mjs');
await prepareVulkan();
const { fileSource, isVramError, VramManager } = await import('../dist/index.js');

const ms = (value) => `${value.toFixed(1)} ms`;
const say = (name, value) => console.log(`${name.padEnd(14)}${value}`);
const CLASSES = {
  'device-local': 'device-local: VRAM, known from the driver',
  unified: 'unified: memory shared between GPU and CPU',
  unproven: 'unproven: a GPU, but WebGPU does not tell where its memory lives',
  host: 'host: HOST MEMORY, NOT VRAM',
};

const model = createRequire(import.meta.url).resolve('@ricky0123/vad-web/dist/silero_vad_v5.onnx');
const source = await fileSource(model);
// "any" accepts every class, so that the demo runs everywhere; the library's default, vram-only, accepts VRAM alone.
const manager = await VramManager.open({ policy: 'any', workerId: 'demo', drills: true });
const { state: _state, device, deviceName, residency, residencyReason } = manager.status();

console.log('\n1. The device');
say('device', `${device}  ${deviceName}`);
say('class', CLASSES[residency]);
say('because', residencyReason);

console.log('\n2. Sealing silero VAD, a real speech model from npm');
const sealing = performance.now();
const shard = await manager.seal(source, { modelRef: 'silero-vad-v5' });
const sealMs = performance.now() - sealing;
say('sealed', `${shard.byteLength} bytes in ${ms(sealMs)}`);
say('sha256', shard.sha256);
say('fsverity', shard.fsverity);
say('immutability', shard.immutability);
console.log('handle        (signed; it holds no address and no key)');
console.log(JSON.stringify(shard, null, 2).replace(/^/gm, '  '));

console.log('\n3. Verifying the resident bytes where they are');
const report = await manager.verify(shard);
say('verified', `in place in ${ms(report.durationMs)}: every byte is as sealed`);

console.log('\n4. Flipping one bit of the resident copy, on purpose');
const { flips } = await manager.drill(shard, { seed: 1 });
const [{ byte, bit }] = flips;
say('flipped', `bit ${bit} of byte ${byte}`);
try {
  await manager.verify(shard);
  throw new Error('the damage was not found');
} catch (error) {
  if (!isVramError(error, 'INTEGRITY_VIOLATION')) throw error;
  say('found', `${error.code}; the shard is locked away`);
}
const healed = await manager.heal(shard, source);
say(
  'healed',
  `${healed.healedBlocks} block of 4096 bytes rewritten from the file, and the whole verified again`,
);

console.log(`
What was just proved: the bytes in the memory of ${device} were, at both checks, those of the file; the tree was hashed there, by
compute kernels, and under 128 bytes came back; one flipped bit was found, located and repaired.
What was not: ${
  residency === 'device-local'
    ? 'anything about a hostile process or driver on this machine'
    : residency === 'host'
      ? 'anything about VRAM, since this machine showed no GPU that could be used: these bytes live in host memory'
      : 'that these bytes live in VRAM, which this platform does not tell'
};
and nothing guards against an operating system, driver or firmware that lies. See "What it does not protect against" in README.md.`);

await source.close();
await manager.close();

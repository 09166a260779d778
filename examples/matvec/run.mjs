// node examples/matvec/run.mjs [device]: seals a real model, multiplies a real layer of it with a vector where the weights
// lie - after they were verified there - and compares with the CPU. Devices: auto, cuda:N, webgpu:N, host.
import { createRequire } from 'node:module';
import { openModel, openShard, VramManager } from 'vram-residency';
import { floats, matvecOnCpu, wrongRows } from './cpu.mjs';
import { matvec } from './matvec.mjs';

const file = createRequire(import.meta.url).resolve('@ricky0123/vad-web/dist/silero_vad_v5.onnx');
const [model] = (await openModel(file)).shards;
const tensor = model.tensors.find(({ name }) =>
  name.endsWith('then_branch__Inline_0__decoder.rnn.weight_ih'),
);
const [rows, columns] = tensor.shape;
const vector = Float32Array.from({ length: columns }, (_, index) => Math.sin(index + 1));

const source = await openShard(model);
const manager = await VramManager.open({
  device: process.argv[2] ?? 'auto',
  workerId: 'matvec',
  policy: 'any',
});
const { device, deviceName, residency } = manager.status();
console.log(`device   ${device}  ${deviceName} (${residency})`);
console.log(
  `weights  ${tensor.name}, ${rows} x ${columns} float32, at byte ${tensor.byteOffset} of the file`,
);
try {
  const shard = await manager.seal(source);
  const product = await manager.execute(shard, (lease) => matvec(lease, { rows, columns, vector }), {
    tensor,
    recheck: true,
  });
  const weights = floats(await source.readRange(tensor.byteOffset, tensor.byteLength));
  const expected = matvecOnCpu(weights, vector);
  const wrong = wrongRows(product, expected);
  console.log(`product  ${Array.from(product.subarray(0, 4), (value) => value.toFixed(6)).join('  ')}  ...`);
  console.log(
    `CPU      ${Array.from(expected.y.subarray(0, 4), (value) => value.toFixed(6)).join('  ')}  ...`,
  );
  console.log(
    wrong.length === 0
      ? `equal    all ${rows} rows, within what float32 allows; verified before and after`
      : `WRONG    rows ${wrong.join(', ')}`,
  );
  process.exitCode = wrong.length === 0 ? 0 : 1;
} finally {
  await source.close();
  await manager.close();
}

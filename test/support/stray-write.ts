const STORAGE = 0x80;
const UNIFORM = 0x40;

/** What somebody else's kernel does to a buffer that it should not have: turns over the bits of `mask` in one byte. */
export async function strayWrite(
  device: GPUDevice,
  buffer: GPUBuffer,
  byte: number,
  mask: number,
): Promise<void> {
  const code = `
    @group(0) @binding(0) var<storage, read_write> words: array<u32>;
    @group(0) @binding(1) var<uniform> place: vec4<u32>;
    @compute @workgroup_size(1) fn main() { words[place.x] = words[place.x] ^ place.y; }`;
  const pipeline = device.createComputePipeline({
    layout: 'auto',
    compute: { module: device.createShaderModule({ code }) },
  });
  const place = device.createBuffer({ size: 16, usage: UNIFORM, mappedAtCreation: true });
  new Uint32Array(place.getMappedRange()).set([byte >> 2, (mask << (8 * (byte & 3))) >>> 0]);
  place.unmap();
  const entries = [buffer, place].map((each, binding) => ({ binding, resource: { buffer: each } }));
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(1);
  pass.end();
  device.queue.submit([encoder.finish()]);
  await device.queue.onSubmittedWorkDone();
  place.destroy();
}

/** Bytes in a buffer of the engine's own, with STORAGE usage alone as sealed ones have. */
export function copyOf(device: GPUDevice, bytes: Uint8Array): GPUBuffer {
  const size = Math.ceil(bytes.length / 4096) * 4096;
  const buffer = device.createBuffer({ size, usage: STORAGE, mappedAtCreation: true });
  new Uint8Array(buffer.getMappedRange()).set(bytes);
  buffer.unmap();
  return buffer;
}

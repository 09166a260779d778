// A kernel of the caller's own over the lease's bind groups. Two things a model file does to it: a tensor begins at any
// byte, so floats are put together from bytes; and a large shard lies in several buffers, so a row may begin in one and end
// in the next. Rows are therefore multiplied in runs: those inside one buffer, and those across two.

// The runtime's layout is read-only: with read_write here, or layout: 'auto' below, WebGPU refuses the pipeline.
const WGSL = `
struct Run {
  rows: u32,
  columns: u32,
  firstRow: u32,
  // Where the run's first row begins in the first buffer, and how many bytes of the run are there; the rest begins in the
  // second.
  offset: u32,
  length: u32,
  rest: u32,
}

@group(0) @binding(0) var<storage, read> weights: array<u32>;
@group(1) @binding(0) var<storage, read> more: array<u32>;
@group(2) @binding(0) var<uniform> run: Run;
@group(2) @binding(1) var<storage, read> x: array<f32>;
@group(2) @binding(2) var<storage, read_write> y: array<f32>;

fn byteAt(index: u32) -> u32 {
  if (index < run.length) {
    let at = run.offset + index;
    return (weights[at / 4u] >> (8u * (at % 4u))) & 0xffu;
  }
  let at = run.rest + index - run.length;
  return (more[at / 4u] >> (8u * (at % 4u))) & 0xffu;
}

fn floatAt(index: u32) -> f32 {
  return bitcast<f32>(
    byteAt(index) | (byteAt(index + 1u) << 8u) | (byteAt(index + 2u) << 16u) | (byteAt(index + 3u) << 24u));
}

@compute @workgroup_size(64)
fn matvec(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= run.rows) { return; }
  var sum = 0.0;
  for (var column = 0u; column < run.columns; column++) {
    sum += floatAt((id.x * run.columns + column) * 4u) * x[column];
  }
  y[run.firstRow + id.x] = sum;
}`;

const UNIFORM = 0x40;
const STORAGE = 0x80;
const COPY_DST = 0x08;
const COPY_SRC = 0x04;
const MAP_READ = 0x01;

export async function matvecOnWebGpu(lease, { rows, columns, vector }) {
  const { device } = lease;
  const own = [];
  const buffer = (size, usage) => {
    const made = device.createBuffer({ size, usage });
    own.push(made);
    return made;
  };
  try {
    const io = device.createBindGroupLayout({
      entries: ['uniform', 'read-only-storage', 'storage'].map((type, binding) => ({
        binding,
        visibility: 4,
        buffer: { type },
      })),
    });
    const pipeline = await device.createComputePipelineAsync({
      layout: device.createPipelineLayout({ bindGroupLayouts: [lease.layout, lease.layout, io] }),
      compute: { module: device.createShaderModule({ code: WGSL }), entryPoint: 'matvec' },
    });
    const x = buffer(columns * 4, STORAGE | COPY_DST);
    const y = buffer(rows * 4, STORAGE | COPY_SRC);
    const result = buffer(rows * 4, MAP_READ | COPY_DST);
    device.queue.writeBuffer(x, 0, vector);
    const encoder = device.createCommandEncoder();
    for (const { first, count } of runsOfRows(lease, rows, columns)) {
      const parts = lease.bindings({ offset: first * columns * 4, length: count * columns * 4 });
      if (parts.length > 2)
        throw new RangeError('a row that lies in more than two buffers is too long for this example');
      const [head, tail = head] = parts;
      const run = buffer(24, UNIFORM | COPY_DST);
      const length = parts.length === 1 ? count * columns * 4 : head.byteLength;
      device.queue.writeBuffer(
        run,
        0,
        new Uint32Array([count, columns, first, head.byteOffset, length, tail.byteOffset]),
      );
      const group = device.createBindGroup({
        layout: io,
        entries: [run, x, y].map((resource, binding) => ({ binding, resource: { buffer: resource } })),
      });
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, head.group);
      pass.setBindGroup(1, tail.group);
      pass.setBindGroup(2, group);
      pass.dispatchWorkgroups(Math.ceil(count / 64));
      pass.end();
    }
    encoder.copyBufferToBuffer(y, 0, result, 0, rows * 4);
    device.queue.submit([encoder.finish()]);
    await result.mapAsync(MAP_READ);
    return new Float32Array(result.getMappedRange().slice());
  } finally {
    for (const made of own) made.destroy();
  }
}

/** Rows inside one buffer together, a row across two alone. */
function runsOfRows(lease, rows, columns) {
  const rowBytes = columns * 4;
  const runs = [];
  let row = 0;
  let end = 0;
  for (const { byteLength } of lease.bindings()) {
    end += byteLength;
    const whole = Math.min(Math.floor(end / rowBytes), rows);
    if (whole > row) runs.push({ first: row, count: whole - row });
    row = Math.max(row, whole);
    if (row < rows && end > row * rowBytes) {
      runs.push({ first: row, count: 1 });
      row += 1;
    }
  }
  return runs;
}

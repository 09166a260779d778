// Fills memory with a pattern of 16 bytes: zeros before sealed memory is released, a fresh pattern before scratch is
// used.

struct Params {
  pattern: vec4<u32>,
  // In units of 16 bytes.
  first: u32,
  count: u32,
  // Invocations in one row of the two-dimensional dispatch: whole workgroups.
  row: u32,
}

@group(0) @binding(0) var<storage, read_write> memory: array<vec4<u32>>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let index = id.y * params.row + id.x;
  if (index < params.count) {
    memory[params.first + index] = params.pattern;
  }
}

// Group 0 of the tree shaders: the device's scratch pool, the state of the run, the parameters of the dispatch.

struct Params {
  // Hashes to compute; one more invocation hashes the canary.
  count: u32,
  // Where they go, in units of 32 bytes from the start of the scratch pool.
  out_slot: u32,
  // 1: the only hash computed is the tree's root.
  is_root: u32,
  // Invocations in one row of the two-dimensional dispatch: whole workgroups.
  row: u32,
  // Nodes only: where their inputs begin, and how many there are.
  in_slot: u32,
  in_count: u32,
  // Scattered leaves only: the first block of each buffer, counted from the first block of the dispatch.
  begins: array<vec4<u32>, 2>,
}

struct State {
  root: array<u32, 8>,
  // Blocks hashed by all dispatches of the run, counted modulo 2^32 from a random start: no tree has as many.
  hashed: atomic<u32>,
  canary_hash: array<u32, 8>,
  spare: array<u32, 3>,
  // Its first 32 bytes become its hash, so that every dispatch continues a chain that the host can follow.
  canary: array<vec4<u32>, 256>,
}

@group(0) @binding(0) var<storage, read_write> scratch: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> state: State;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let index = id.y * params.row + id.x;
  if (index > params.count) {
    return;
  }
  let hash = hash_block(index);
  if (index == params.count) {
    state.canary[0] = hash.low;
    state.canary[1] = hash.high;
    for (var i = 0u; i < 4u; i++) {
      state.canary_hash[i] = hash.low[i];
      state.canary_hash[i + 4u] = hash.high[i];
    }
    return;
  }
  let out = 2u * (params.out_slot + index);
  scratch[out] = hash.low;
  scratch[out + 1u] = hash.high;
  if (params.is_root == 1u) {
    for (var i = 0u; i < 4u; i++) {
      state.root[i] = hash.low[i];
      state.root[i + 4u] = hash.high[i];
    }
  }
  atomicAdd(&state.hashed, 1u);
}

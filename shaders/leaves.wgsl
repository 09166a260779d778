// Input of hash_block: blocks of sealed memory, bound read-only. One invocation a block.

@group(1) @binding(0) var<storage, read> weights: array<vec4<u32>>;

fn block_vector(block: u32, index: u32) -> vec4<u32> {
  if (block == params.count) {
    return state.canary[index];
  }
  return weights[block * 256u + index];
}

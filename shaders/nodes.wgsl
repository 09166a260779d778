// Input of hash_block: 128 hashes of the level below, zero-padded after the last one (fs-verity, "Merkle tree").

fn block_vector(block: u32, index: u32) -> vec4<u32> {
  if (block == params.count) {
    return state.canary[index];
  }
  let at = block * 256u + index;
  if (at >= 2u * params.in_count) {
    return vec4<u32>(0u);
  }
  return scratch[2u * params.in_slot + at];
}

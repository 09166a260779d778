// Input of hash_block: blocks of sealed memory that lies in up to six buffers, bound read-only. One invocation a block.
// Six and the two of group 0 are as many storage buffers as every device binds (WebGPU, "Limits",
// maxStorageBuffersPerShaderStage).

@group(1) @binding(0) var<storage, read> weights0: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> weights1: array<vec4<u32>>;
@group(1) @binding(2) var<storage, read> weights2: array<vec4<u32>>;
@group(1) @binding(3) var<storage, read> weights3: array<vec4<u32>>;
@group(1) @binding(4) var<storage, read> weights4: array<vec4<u32>>;
@group(1) @binding(5) var<storage, read> weights5: array<vec4<u32>>;

// Buffer i holds the blocks from begins[i] up to the next buffer's.
fn block_vector(block: u32, index: u32) -> vec4<u32> {
  if (block == params.count) {
    return state.canary[index];
  }
  let low = params.begins[0];
  let high = params.begins[1];
  if (block < low.y) {
    return weights0[block * 256u + index];
  }
  if (block < low.z) {
    return weights1[(block - low.y) * 256u + index];
  }
  if (block < low.w) {
    return weights2[(block - low.z) * 256u + index];
  }
  if (block < high.x) {
    return weights3[(block - low.w) * 256u + index];
  }
  if (block < high.y) {
    return weights4[(block - high.x) * 256u + index];
  }
  return weights5[(block - high.y) * 256u + index];
}

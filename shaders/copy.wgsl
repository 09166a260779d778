// Copies bytes between a staging buffer and sealed memory, in (writes, healing) and out (readback), since sealed buffers
// have no copy usage. Bytes [begin, end) of the target's vectors change, counted from the first vector; the source is
// aligned alike.

struct Params {
  // In units of 16 bytes.
  source_first: u32,
  target_first: u32,
  // Invocations in one row of the two-dimensional dispatch: whole workgroups.
  row: u32,
  begin: u32,
  end: u32,
}

// Drills flip bits instead of replacing bytes.
override flip: bool = false;

@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> copy_target: array<vec4<u32>>;
@group(0) @binding(2) var<uniform> params: Params;

// Bits of the word at byte `at` that lie in [begin, end).
fn word_mask(at: u32) -> u32 {
  let low = max(params.begin, at) - at;
  let high = at + 4u - min(params.end, at + 4u);
  if (low + high >= 4u) {
    return 0u;
  }
  return (0xffffffffu << (8u * low)) & (0xffffffffu >> (8u * high));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let index = id.y * params.row + id.x;
  let at = 16u * index;
  let mask = vec4<u32>(word_mask(at), word_mask(at + 4u), word_mask(at + 8u), word_mask(at + 12u));
  // Also skips invocations after the last vector: the dispatch consists of whole workgroups.
  if (!any(vec4<bool>(mask))) {
    return;
  }
  let to = params.target_first + index;
  let value = source[params.source_first + index];
  if (flip) {
    copy_target[to] ^= value & mask;
  } else {
    copy_target[to] = (copy_target[to] & ~mask) | (value & mask);
  }
}

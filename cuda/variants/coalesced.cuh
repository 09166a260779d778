// Variant of vr_leaves: loads coalesced through shared memory. Where each thread loads its own block, one load of a warp
// touches 32 places 4096 bytes apart. Here the lanes of a warp load 64 bytes of eight blocks at a time, four neighbouring
// lanes 64 bytes in a row, and then read their own block's from shared memory.
#include "../sha256.cuh"

namespace {

constexpr unsigned kLanes = 32;
constexpr unsigned kRowsALoad = kLanes / kChunkVectors;
constexpr unsigned kLoads = kLanes / kRowsALoad;

// Where a row, the next 64 bytes of one block, keeps its vector `column`. Shared memory serves the 16-byte accesses of eight
// lanes at a time, and at once if they fall into different banks. Two rows fill all banks: with every column at its own
// number, the eight lanes that read one column of eight rows would meet in a quarter of them.
__device__ __forceinline__ unsigned slotOf(unsigned row, unsigned column) { return column ^ (row / 2 % kChunkVectors); }

}  // namespace

// Parameters and results are those of vr_leaves in cuda/vram.cu. A thread block must have a multiple of 32 threads: the
// lanes of a warp load for each other.
extern "C" __global__ void __launch_bounds__(kMaxThreads)
    vr_leaves(const uint4* data, uint64_t blocks, const uint4* canary, uint4* out, unsigned long long* counter) {
  __shared__ uint4 tile[kMaxThreads][kChunkVectors];
  const uint64_t i = threadIndex();
  const unsigned lane = threadIdx.x % kLanes;
  const uint64_t first = i - lane;
  if (first > blocks) return;  // all lanes of the warp at once

  // What this lane loads: one column of four rows. Rows past the last block are the canary's, of which one is stored.
  uint4(*const rows)[kChunkVectors] = tile + (threadIdx.x - lane);
  const unsigned row = lane / kChunkVectors, column = lane % kChunkVectors;
  const uint4* from[kLoads];
#pragma unroll
  for (unsigned n = 0; n < kLoads; n++) {
    const uint64_t block = first + row + n * kRowsALoad;
    from[n] = (block < blocks ? data + block * kBlockVectors : canary) + column;
  }

  State state;
  uint32_t before[8];
#pragma unroll 1
  for (unsigned at = 0; at < kBlockVectors; at += kChunkVectors) {
    uint4 loaded[kLoads];
#pragma unroll
    for (unsigned n = 0; n < kLoads; n++) loaded[n] = from[n][at];
#pragma unroll
    for (unsigned n = 0; n < kLoads; n++) rows[row + n * kRowsALoad][slotOf(row + n * kRowsALoad, column)] = loaded[n];
    __syncwarp();
    uint32_t w[16];
#pragma unroll
    for (unsigned v = 0; v < kChunkVectors; v++) load(w + 4 * v, rows[lane][slotOf(lane, v)]);
    __syncwarp();  // the next turn overwrites what every lane has read by now
    compress(state.s, before, w);
  }
  if (i > blocks) return;
  finish(state.s, before, out + i * kHashVectors);
  if (i < blocks) atomicAdd(counter, 1ull);
}

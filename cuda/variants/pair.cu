// Variant of vr_leaves: two blocks in flight a thread, their rounds interleaved, so that one block's arithmetic fills the
// latency of the other's. It costs registers, and with them warps that could do the same.
#include "../sha256.cuh"

namespace {

constexpr unsigned kBlocks = 2;  // a thread

template <int T>
__device__ __forceinline__ void interleavedDataRounds(State (&states)[kBlocks], uint32_t (&w)[kBlocks][16]) {
  if constexpr (T < 64) {
#pragma unroll
    for (unsigned b = 0; b < kBlocks; b++) dataRound<T>(states[b].s, w[b]);
    interleavedDataRounds<T + 1>(states, w);
  }
}

template <int T>
__device__ __forceinline__ void interleavedPaddingRounds(State (&states)[kBlocks]) {
  if constexpr (T < 64) {
#pragma unroll
    for (unsigned b = 0; b < kBlocks; b++) round<T>(states[b].s, PaddingConstant<T>::value);
    interleavedPaddingRounds<T + 1>(states);
  }
}

}  // namespace

// Parameters and results are those of vr_leaves in cuda/vram.cu, but thread i hashes blocks 2 i and 2 i + 1.
extern "C" __global__ void __launch_bounds__(kMaxThreads)
    vr_leaves(const uint4* data, uint64_t blocks, const uint4* canary, uint4* out, unsigned long long* counter) {
  const uint64_t first = kBlocks * threadIndex();
  if (first > blocks) return;

  // A thread whose first block is the canary hashes it twice and stores it once.
  const uint4* from[kBlocks];
#pragma unroll
  for (unsigned b = 0; b < kBlocks; b++) from[b] = first + b < blocks ? data + (first + b) * kBlockVectors : canary;

  State states[kBlocks];
  uint32_t before[kBlocks][8];
#pragma unroll 1
  for (unsigned at = 0; at < kBlockVectors; at += kChunkVectors) {
    uint32_t w[kBlocks][16];
#pragma unroll
    for (unsigned b = 0; b < kBlocks; b++) {
#pragma unroll
      for (unsigned v = 0; v < kChunkVectors; v++) load(w[b] + 4 * v, from[b][at + v]);
      copy(before[b], states[b].s);
    }
    interleavedDataRounds<0>(states, w);
#pragma unroll
    for (unsigned b = 0; b < kBlocks; b++) accumulate(states[b].s, before[b]);
  }
#pragma unroll
  for (unsigned b = 0; b < kBlocks; b++) copy(before[b], states[b].s);
  interleavedPaddingRounds<0>(states);

  unsigned hashed = 0;
#pragma unroll
  for (unsigned b = 0; b < kBlocks; b++) {
    if (first + b <= blocks) storeHash(states[b].s, before[b], out + (first + b) * kHashVectors);
    if (first + b < blocks) hashed++;
  }
  if (hashed > 0) atomicAdd(counter, static_cast<unsigned long long>(hashed));
}

// Kernels that a measurement compares with or runs beside; they verify nothing.
#include <cstdint>

namespace {

constexpr unsigned kMaxThreads = 256;
constexpr unsigned kChains = 4;  // independent, so that few warps suffice to keep the pipes full

}  // namespace

// Adds the 32-bit words of the `bytes` (a multiple of 16) at `data` (aligned to 16) to *sum, modulo 2^64. Any grid reads
// every byte once, neighbouring threads neighbouring vectors, and does next to no arithmetic: what reading alone costs.
extern "C" __global__ void __launch_bounds__(kMaxThreads)
    vr_sum(const uint4* data, uint64_t bytes, unsigned long long* sum) {
  __shared__ unsigned long long ofBlock;
  if (threadIdx.x == 0) ofBlock = 0;
  __syncthreads();

  const uint64_t vectors = bytes / sizeof(uint4);
  const uint64_t stride = static_cast<uint64_t>(gridDim.x) * blockDim.x;
  unsigned long long ofThread = 0;
#pragma unroll 4
  for (uint64_t i = static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < vectors; i += stride) {
    const uint4 v = data[i];
    ofThread += static_cast<unsigned long long>(v.x) + v.y + v.z + v.w;
  }

  // One atomic a thread block in global memory: with one a thread, short runs would measure the atomics.
  atomicAdd(&ofBlock, ofThread);
  __syncthreads();
  if (threadIdx.x == 0) atomicAdd(sum, ofBlock);
}

// Keeps both integer pipes busy: in each of `iterations` steps, four chains a thread multiply and add (FMA), shift and xor
// (ALU). Memory stays idle. Xors every chain's end into *word, so that none of it is dead code.
extern "C" __global__ void __launch_bounds__(kMaxThreads) vr_busy(uint32_t iterations, uint32_t* word) {
  uint32_t chains[kChains];
#pragma unroll
  for (unsigned c = 0; c < kChains; c++) chains[c] = kChains * (blockIdx.x * blockDim.x + threadIdx.x) + c;
#pragma unroll 4
  for (uint32_t n = 0; n < iterations; n++) {
#pragma unroll
    for (unsigned c = 0; c < kChains; c++) {
      chains[c] = chains[c] * 1664525u + 1013904223u;
      chains[c] ^= chains[c] >> 15;
    }
  }
  uint32_t ends = 0;
#pragma unroll
  for (unsigned c = 0; c < kChains; c++) ends ^= chains[c];
  atomicXor(word, ends);
}

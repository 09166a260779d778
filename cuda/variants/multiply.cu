// Variant of vr_leaves: every addition of a round on the multiply-add pipe, which the shipped kernel leaves mostly idle.
#define VR_ADDS_BY_MULTIPLY
#include "../sha256.cuh"

// Parameters and results are those of vr_leaves in cuda/vram.cu.
extern "C" __global__ void __launch_bounds__(kMaxThreads)
    vr_leaves(const uint4* data, uint64_t blocks, const uint4* canary, uint4* out, unsigned long long* counter) {
  const uint64_t i = threadIndex();
  if (i > blocks) return;
  hashBlock<true>(i < blocks ? data + i * kBlockVectors : canary, kNoBound, out + i * kHashVectors);
  if (i < blocks) atomicAdd(counter, 1ull);
}

// Device code of the fs-verity tree: SHA-256 (FIPS 180-4) of 4096-byte blocks in place, and a fill.
// One thread hashes one block: no thread waits for another, and no shared memory is used.
#include "sha256.cuh"

namespace {
constexpr unsigned kHashesPerBlock = kBlockBytes / kHashBytes;
}

// Thread i < blocks hashes the 4096 bytes at data + 4096 i into out + 32 i and adds one to the counter; thread i = blocks
// hashes the 4096 bytes at `canary` into out + 32 blocks, uncounted. All addresses are multiples of 16. An addition for
// every thread is one in some 93,000 instructions: gathering them by warp would gain nothing.
extern "C" __global__ void __launch_bounds__(kMaxThreads)
    vr_leaves(const uint4* data, uint64_t blocks, const uint4* canary, uint4* out, unsigned long long* counter) {
  const uint64_t i = threadIndex();
  if (i > blocks) return;
  hashBlock<true>(i < blocks ? data + i * kBlockVectors : canary, kNoBound, out + i * kHashVectors);
  if (i < blocks) atomicAdd(counter, 1ull);
}

// The same over `count` packed hashes, 128 to a block, the last block zero-padded: one level of the tree from the level
// below it.
extern "C" __global__ void __launch_bounds__(kMaxThreads)
    vr_nodes(const uint4* hashes, uint64_t count, const uint4* canary, uint4* out, unsigned long long* counter) {
  const uint64_t i = threadIndex();
  const uint64_t nodes = (count + kHashesPerBlock - 1) / kHashesPerBlock;
  if (i > nodes) return;
  const bool isNode = i < nodes;
  const uint64_t left = isNode ? count - i * kHashesPerBlock : kNoBound;
  hashBlock<false>(isNode ? hashes + i * kBlockVectors : canary, left, out + i * kHashVectors);
  if (isNode) atomicAdd(counter, 1ull);
}

// Fills `bytes`, a multiple of 16, with a 32-bit pattern: one thread 16 of them.
extern "C" __global__ void __launch_bounds__(kMaxThreads) vr_fill(uint4* data, uint64_t bytes, uint32_t pattern) {
  const uint64_t i = threadIndex();
  if (i < bytes / sizeof(uint4)) data[i] = make_uint4(pattern, pattern, pattern, pattern);
}

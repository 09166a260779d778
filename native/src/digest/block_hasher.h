// SHA-256 of many 4096-byte blocks at once: the leaves and the nodes of an fs-verity tree. Most processors can do this
// faster than one block after another, some in several ways; each way is a BlockHasher, in a separate file.
#ifndef VRAM_RESIDENCY_BLOCK_HASHER_H
#define VRAM_RESIDENCY_BLOCK_HASHER_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vram {

constexpr std::size_t kBlockBytes = 4096;
constexpr std::size_t kHashBytes = 32;

struct BlockHasher {
  const char* name;
  // Whether this processor, and the system on it, can run `hash`.
  bool (*supported)();
  // Reads count * 4096 bytes, writes count * 32. No alignment is needed; the two must not overlap.
  void (*hash)(const uint8_t* blocks, std::size_t count, uint8_t* hashes);
};

// The hashers that this build has and this processor can run, the fastest first; empty if it can run none of them.
const std::vector<const BlockHasher*>& blockHashers();

// Null if no hasher has that name, or this processor cannot run it.
const BlockHasher* findBlockHasher(const char* name);

#if defined(__x86_64__)
extern const BlockHasher kAvx512Hasher;  // 16 blocks at once
extern const BlockHasher kShaNiHasher;   // 4 blocks at once
extern const BlockHasher kAvx2Hasher;    // 8 blocks at once
#elif defined(__aarch64__)
extern const BlockHasher kArmv8Hasher;  // 4 blocks at once
#endif

}  // namespace vram

#endif

#include "block_hasher.h"

#include <cstring>

namespace vram {

namespace {

std::vector<const BlockHasher*> findSupported() {
  std::vector<const BlockHasher*> found;
#if defined(__x86_64__)
  for (const BlockHasher* hasher : {&kAvx512Hasher, &kShaNiHasher, &kAvx2Hasher}) {
    if (hasher->supported()) found.push_back(hasher);
  }
#elif defined(__aarch64__)
  if (kArmv8Hasher.supported()) found.push_back(&kArmv8Hasher);
#endif
  return found;
}

}  // namespace

const std::vector<const BlockHasher*>& blockHashers() {
  static const std::vector<const BlockHasher*> hashers = findSupported();
  return hashers;
}

const BlockHasher* findBlockHasher(const char* name) {
  for (const BlockHasher* hasher : blockHashers()) {
    if (std::strcmp(hasher->name, name) == 0) return hasher;
  }
  return nullptr;
}

}  // namespace vram

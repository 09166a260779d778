#include "shared_memory.h"

#include <algorithm>

namespace emulator {
namespace {

constexpr uint32_t kNobody = UINT32_MAX, kSeveralWarps = UINT32_MAX - 1;
constexpr uint8_t kRubbish = 0xcd;

// The narrowest element that the kernel accesses in shared memory. Addresses are multiples of it, so that no access covers a
// part of a granule.
unsigned narrowestAccess(const Kernel& kernel) {
  unsigned narrowest = 8;
  for (const Instruction& i : kernel.code) {
    const bool memory = i.op == Op::Load || i.op == Op::Store || i.op == Op::Atomic;
    if (memory && i.space == Space::Shared) narrowest = std::min(narrowest, bytesOf(i.type));
  }
  return narrowest;
}

}  // namespace

bool SharedMemory::Threads::unordered(const ThreadPoint& thread) const {
  if (warp == kNobody) return false;
  if (warp != thread.warp) return true;
  return barriers == thread.barriers && (lanes & ~(1u << thread.lane)) != 0;
}

void SharedMemory::Threads::add(const ThreadPoint& thread) {
  const uint32_t lane = 1u << thread.lane;
  const bool sameWarp = warp == thread.warp;
  if (sameWarp && barriers == thread.barriers) lanes |= lane;
  else if (sameWarp || warp == kNobody) *this = Threads{thread.warp, lane, thread.barriers};
  else warp = kSeveralWarps;
}

SharedMemory::SharedMemory(const Kernel& kernel)
    : bytes_(kernel.sharedBytes),
      granuleBytes_(narrowestAccess(kernel)),
      granules_((kernel.sharedBytes + granuleBytes_ - 1) / granuleBytes_) {
  reset();
}

void SharedMemory::reset() {
  std::fill(bytes_.begin(), bytes_.end(), kRubbish);
  barrier();
}

void SharedMemory::barrier() {
  constexpr Threads nobody{kNobody, 0, 0};
  std::fill(granules_.begin(), granules_.end(), Granule{nobody, nobody, nobody});
}

uint8_t* SharedMemory::at(uint64_t address, unsigned bytes) {
  if (address > bytes_.size() || bytes > bytes_.size() - address) return nullptr;
  return bytes_.data() + address;
}

bool SharedMemory::note(Access access, const ThreadPoint& thread, const uint8_t* at, unsigned bytes) {
  const size_t first = static_cast<size_t>(at - bytes_.data()) / granuleBytes_;
  for (size_t k = first; k < first + bytes / granuleBytes_; k++) {
    Granule& g = granules_[k];
    if (g.stores.unordered(thread)) return false;
    if (access != Access::Load && g.loads.unordered(thread)) return false;
    if (access != Access::Atomic && g.atomics.unordered(thread)) return false;
    (access == Access::Load ? g.loads : access == Access::Store ? g.stores : g.atomics).add(thread);
  }
  return true;
}

}  // namespace emulator

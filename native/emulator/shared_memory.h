// The shared memory of one thread block. Besides the bytes it records which threads accessed them since the last
// barrier. The interpreter runs the threads of a warp in lock-step and warps one after another, so that the results
// alone would never show a missing barrier.
#ifndef VRAM_RESIDENCY_EMULATOR_SHARED_MEMORY_H
#define VRAM_RESIDENCY_EMULATOR_SHARED_MEMORY_H

#include <cstdint>
#include <vector>

#include "ptx.h"

namespace emulator {

// A thread at a point of its program. `barriers` counts those of its warp so far: they order what the warp's threads do.
struct ThreadPoint {
  uint32_t warp, lane, barriers;
};

class SharedMemory {
 public:
  enum class Access { Load, Store, Atomic };

  explicit SharedMemory(const Kernel& kernel);

  // Resets it for the next thread block: garbage in every byte, untouched.
  void reset();
  // All threads of the block have reached the barrier, which orders earlier accesses before later ones.
  void barrier();

  // The address of the bytes; null if not all of them are inside.
  uint8_t* at(uint64_t address, unsigned bytes);

  // Records an access to bytes that at() returned. False for a race: another thread has accessed some of them, at least one
  // of the two accesses writes, they are not both atomic, and no barrier separates them. Stores of equal values race, too.
  bool note(Access access, const ThreadPoint& thread, const uint8_t* at, unsigned bytes);

 private:
  // Threads that did one kind of access to a granule: lanes of one warp since its last barrier, or threads of several warps.
  struct Threads {
    uint32_t warp, lanes, barriers;
    bool unordered(const ThreadPoint& thread) const;
    void add(const ThreadPoint& thread);
  };
  struct Granule {
    Threads loads, stores, atomics;
  };

  std::vector<uint8_t> bytes_;
  unsigned granuleBytes_;
  std::vector<Granule> granules_;
};

}  // namespace emulator

#endif

// The only pinned host memory there is: two buffers with a stream each, so that one is filled while the other is copied. They hold
// weight bytes for the length of a copy and are wiped when it has been waited for.
#ifndef VRAM_RESIDENCY_STAGING_H
#define VRAM_RESIDENCY_STAGING_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "memory.h"

namespace vram {

class Staging {
 public:
  explicit Staging(const Driver& driver) : driver_(driver) {}
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // `size` bytes in each buffer.
  Status open(std::size_t size);
  // Waits, wipes and gives back.
  Status close();
  std::size_t size() const { return size_; }

  // Starts a copy to the device; `length` is at most size(). `from` may be reused on return.
  Status write(const std::shared_ptr<Memory>& memory, std::size_t offset, const uint8_t* from, std::size_t length);
  // Copies from the device and waits; any length.
  Status read(Memory& memory, std::size_t offset, uint8_t* to, std::size_t length);
  // Waits for every copy and wipes both buffers. A failure is kept in the `pending` of the memory it belongs to.
  void drain();

 private:
  struct Slot {
    void* buffer = nullptr;
    CUstream stream = nullptr;
    // The copy under way, if any.
    std::shared_ptr<Memory> target;
    std::size_t offset = 0;
    std::size_t length = 0;
    // Bytes from the start that may hold weights.
    std::size_t dirty = 0;
  };

  void wait(Slot& slot);
  void wipe(Slot& slot);

  const Driver& driver_;
  std::size_t size_ = 0;
  std::size_t next_ = 0;
  std::array<Slot, 2> slots_;
};

}  // namespace vram

#endif

// A range of device memory. Every method but the constants belongs to the session's worker thread.
#ifndef VRAM_RESIDENCY_MEMORY_H
#define VRAM_RESIDENCY_MEMORY_H

#include <cstddef>
#include <cstdint>

#include "driver.h"
#include "descriptor.h"

namespace vram {

enum class MemoryKind {
  kVirtual,   // mapped by the addon itself, so that access rights can be set
  kShared,    // the same, and can be exported to other processes
  kPlain,     // cuMemAlloc
  kImported,  // another process's, mapped here
};

// What the driver is asked for. Only kShared memory has handles that leave the process.
CUmemAllocationProp propertiesOf(MemoryKind kind, CUdevice device);

// Rounds up to a multiple of `unit`; false if that leaves the range of size_t.
bool roundUp(std::size_t bytes, std::size_t unit, std::size_t& out);

// True if [offset, offset + length) lies in [0, size).
constexpr bool inRange(uint64_t offset, uint64_t length, uint64_t size) {
  return offset <= size && length <= size - offset;
}

class Memory {
 public:
  // `size` is a multiple of the granularity for virtual memory.
  Memory(const Driver& driver, CUdevice device, MemoryKind kind, std::size_t size)
      : driver_(driver), device_(device), kind_(kind), size_(size) {}
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  std::size_t size() const { return size_; }
  MemoryKind kind() const { return kind_; }

  // On failure empty() may still be false: call release() again.
  Status allocate();
  // Maps another process's memory, read-only, and asks the driver what rights that gave. The caller keeps `descriptor`.
  // Fails as allocate() does.
  Status import(const Descriptor& descriptor, int& granted);
  // One more descriptor of kShared memory.
  Status exportTo(Descriptor& out);
  // Sets the access rights of mapped memory and asks the driver what they now are.
  Status protect(bool readOnly, int& granted);
  // Releases what is still held: each step is tried whether or not the one before succeeded. A call that fails may have
  // done its work anyway; on a later attempt the driver's "invalid handle" or "invalid value" counts as success.
  Status release();

  bool usable() const { return usable_; }
  // Whether this process may wipe the bytes: no other process has received them.
  bool isPrivate() const { return kind_ != MemoryKind::kImported && !exported_; }
  bool writable() const { return usable_ && !readOnly_; }
  // Whether all driver objects have been released.
  bool empty() const { return address_ == 0 && handle_ == 0; }
  CUdeviceptr at(std::size_t offset) const { return address_ + offset; }

  // The failure of a copy that was started for this memory, until it is reported.
  Status pending;

 private:
  Status map();
  Status setAccess(int flags);
  Status access(int& granted) const;
  bool given(const Status& status) const;

  const Driver& driver_;
  const CUdevice device_;
  const MemoryKind kind_;
  const std::size_t size_;
  CUdeviceptr address_ = 0;
  CUmemGenericAllocationHandle handle_ = 0;
  bool mapped_ = false;
  bool usable_ = false;
  bool readOnly_ = false;
  bool retrying_ = false;
  bool exported_ = false;
};

}  // namespace vram

#endif

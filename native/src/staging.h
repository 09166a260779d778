// All pinned host memory. Two buffers serve uploads: JavaScript's thread fills one while the device's thread copies the
// other. A third belongs to the device's thread. They hold weight bytes for the duration of a copy and are wiped once
// it has been awaited.
#ifndef VRAM_RESIDENCY_STAGING_H
#define VRAM_RESIDENCY_STAGING_H

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "memory.h"

namespace vram {

class Staging;

// Bytes on their way to the device: in a pinned buffer if one was free, else on the heap. Wiped if they do not get there.
class Upload {
 public:
  ~Upload();
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;
  std::size_t length() const { return length_; }

 private:
  friend class Staging;
  Upload() = default;

  std::size_t length_ = 0;
  // For a pinned buffer, keeps the staging alive.
  std::shared_ptr<Staging> staging_;
  std::size_t slot_ = 0;
  std::shared_ptr<uint8_t[]> heap_;
};

// Belongs to the session's worker thread, but for stage() and retire(), which belong to JavaScript's.
class Staging : public std::enable_shared_from_this<Staging> {
 public:
  explicit Staging(const Driver& driver) : driver_(driver) {}
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // `size` bytes in each buffer.
  Status open(std::size_t size);
  // Waits, wipes and releases. retire() was called before, or nobody could call stage() yet.
  Status close();
  std::size_t size() const { return size_; }

  // Copies the bytes, at most size(). Throws std::bad_alloc.
  std::shared_ptr<Upload> stage(const void* bytes, std::size_t length);
  // From here on stage() does not use the pinned buffers.
  void retire() { retired_ = true; }

  // Starts a copy to the device.
  Status write(const std::shared_ptr<Memory>& memory, std::size_t offset, Upload& upload);
  // Copies from the device and waits; any length.
  Status read(Memory& memory, std::size_t offset, uint8_t* to, std::size_t length);
  // Waits for every copy and wipes what is not in use. A failure is kept in the `pending` of the memory it belongs to.
  void drain();

 private:
  friend class Upload;

  enum class State {
    kFree,      // whoever changes this to kTaken has the buffer
    kTaken,     // an upload's that has not been started, or being wiped
    kUnderWay,  // the worker's
  };
  struct Slot {
    std::atomic<State> state{State::kFree};
    uint8_t* buffer = nullptr;
    CUstream stream = nullptr;
    // The copy under way, if any.
    std::shared_ptr<Memory> target;
    std::size_t offset = 0;
    std::size_t length = 0;
    // Bytes from the start that may hold weights. Belongs to who has the buffer.
    std::size_t dirty = 0;
  };
  static constexpr std::size_t kUploads = 2;

  // The worker's own, which no upload takes.
  Slot& own() { return slots_[kUploads]; }
  static bool take(Slot& slot);
  void release(Slot& slot);
  void wait(Slot& slot);
  static void wipe(Slot& slot, std::size_t from);

  const Driver& driver_;
  std::size_t size_ = 0;
  bool retired_ = false;
  std::array<Slot, kUploads + 1> slots_;
};

}  // namespace vram

#endif

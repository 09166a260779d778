// All pinned host memory. Three buffers serve uploads: JavaScript's thread, or threads that read a file, fill some while
// the device's thread copies another. A fourth belongs to the device's thread. They hold weight bytes for the duration of a
// copy and are wiped once it has been awaited.
#ifndef VRAM_RESIDENCY_STAGING_H
#define VRAM_RESIDENCY_STAGING_H

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>

#include "memory.h"
#include "sink.h"

namespace vram {

class Staging;

// Bytes to be copied to the device: in a pinned buffer if one was free, else on the heap. Wiped if they are never copied.
class Upload {
 public:
  ~Upload();
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;
  std::size_t length() const { return length_; }
  // Receives the bytes that threads read for a reserved upload; null for others.
  const std::shared_ptr<Sink>& sink() const { return sink_; }

 private:
  friend class Staging;
  Upload() = default;

  std::size_t length_ = 0;
  std::shared_ptr<Sink> sink_;
  // For a pinned buffer, keeps the staging alive.
  std::shared_ptr<Staging> staging_;
  std::size_t slot_ = 0;
  std::shared_ptr<uint8_t[]> heap_;
};

// Belongs to the session's worker thread, but for stage(), reserve(), submit(), withdraw() and retire(), which belong to
// JavaScript's.
class Staging : public std::enable_shared_from_this<Staging> {
 public:
  explicit Staging(const Driver& driver) : driver_(driver) {}
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // `size` bytes in each buffer.
  Status open(std::size_t size);
  // Waits, wipes and releases. retire() was called before, or stage() could not be called yet.
  Status close();
  std::size_t size() const { return size_; }

  // Copies the bytes, at most size(). Throws std::bad_alloc.
  std::shared_ptr<Upload> stage(const void* bytes, std::size_t length);
  // Memory for bytes, at most size(), that threads copy in through the upload's sink. Throws std::bad_alloc.
  std::shared_ptr<Upload> reserve(std::size_t length);
  // A reserved upload, whose sink was closed, is about to be written.
  void submit(const std::shared_ptr<Upload>& upload) { reserved_.erase(upload); }
  // A reserved upload is not written. Its sink was closed.
  void withdraw(const std::shared_ptr<Upload>& upload) { reserved_.erase(upload); }
  // From here on stage() and reserve() do not use the pinned buffers, and no thread copies to what was reserved.
  void retire();

  // Starts a copy to the device.
  Status write(const std::shared_ptr<Memory>& memory, std::size_t offset, Upload& upload);
  // Copies from the device and waits; any length.
  Status read(Memory& memory, std::size_t offset, uint8_t* to, std::size_t length);
  // Waits for every copy and wipes what is not in use. A failure is kept in the `pending` of the memory it belongs to.
  void drain();

 private:
  friend class Upload;

  enum class State {
    kFree,      // the thread that changes this to kTaken owns the buffer
    kTaken,     // owned by an upload that has not been started, or being wiped
    kUnderWay,  // owned by the worker
  };
  struct Slot {
    std::atomic<State> state{State::kFree};
    uint8_t* buffer = nullptr;
    CUstream stream = nullptr;
    // The copy in progress, if any.
    std::shared_ptr<Memory> target;
    std::size_t offset = 0;
    std::size_t length = 0;
    // Bytes from the start that may hold weights. Only the buffer's owner may use it.
    std::size_t dirty = 0;
  };
  static constexpr std::size_t kUploads = 3;

  // The worker's buffer, which no upload takes.
  Slot& own() { return slots_[kUploads]; }
  static bool take(Slot& slot);
  // An upload with separate heap memory, and that memory.
  std::shared_ptr<Upload> acquire(std::size_t length, uint8_t*& bytes);
  void release(Slot& slot);
  void wait(Slot& slot);
  static void wipe(Slot& slot, std::size_t from);

  const Driver& driver_;
  std::size_t size_ = 0;
  bool retired_ = false;
  // The only owners of uploads that are not yet submitted.
  std::set<std::shared_ptr<Upload>> reserved_;
  std::array<Slot, kUploads + 1> slots_;
};

}  // namespace vram

#endif

#include "pieces.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>

#include "../wipe.h"

namespace vram {

namespace {

// Size of one piece: short enough that all threads finish together, and that bytes just read are hashed from the L2 cache.
constexpr std::size_t kPieceBytes = 256 * 1024;
static_assert(kPieceBytes % kBlockBytes == 0);

// A thread's own memory for one piece. Wiped at the end, as is the memory that its bytes are copied to.
class Buffer {
 public:
  Buffer() : bytes_(new (std::nothrow) uint8_t[kPieceBytes]) {}
  ~Buffer() {
    if (bytes_ != nullptr) wipeBytes(bytes_.get(), used_);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  // Null if there was no memory.
  uint8_t* use(std::size_t length) {
    used_ = std::max(used_, length);
    return bytes_.get();
  }

 private:
  const std::unique_ptr<uint8_t[]> bytes_;
  std::size_t used_ = 0;
};

}  // namespace

void Pieces::hash() noexcept {
  if (ofFile())
    hashFile();
  else
    hashMemory();
}

void Pieces::hashMemory() noexcept {
  for (;;) {
    const uint64_t from = next_.fetch_add(kPieceBytes);
    if (from >= length_) return;
    const std::size_t blocks = std::min<uint64_t>(kPieceBytes, length_ - from) / kBlockBytes;
    hashing_.hasher->hash(blocks_ + from, blocks, hashing_.hashes + from / kBlockBytes * kHashBytes);
  }
}

void Pieces::hashFile() noexcept {
  Buffer own;
  while (error_ == 0 && end_ == length_ && !withdrawn_) {
    const uint64_t from = next_.fetch_add(kPieceBytes);
    if (from >= length_) return;
    const std::size_t length = std::min<uint64_t>(kPieceBytes, length_ - from);
    uint8_t* const buffer = own.use(length);
    if (buffer == nullptr) return fail("malloc", ENOMEM);
    if (!read(buffer, from, length)) return;
    if (sink_ != nullptr && !sink_->put(from, buffer, length)) {
      withdrawn_ = true;
      return;
    }
    if (hashing_.hasher == nullptr) continue;
    const std::size_t blocks = (length + kBlockBytes - 1) / kBlockBytes;
    std::memset(buffer + length, 0, blocks * kBlockBytes - length);
    hashing_.hasher->hash(buffer, blocks, hashing_.hashes + from / kBlockBytes * kHashBytes);
  }
}

bool Pieces::read(uint8_t* buffer, uint64_t from, std::size_t length) noexcept {
  for (std::size_t done = 0; done < length;) {
    const ssize_t got = ::pread(file_.get(), buffer + done, length - done, static_cast<off_t>(offset_ + from + done));
    if (got > 0) {
      done += static_cast<std::size_t>(got);
    } else if (got == 0) {
      const uint64_t missing = from + done;
      uint64_t known = end_;
      while (missing < known && !end_.compare_exchange_weak(known, missing)) {
      }
      return false;
    } else if (errno != EINTR) {
      fail("pread", errno);
      return false;
    }
  }
  return true;
}

void Pieces::fail(const char* call, int error) noexcept {
  int none = 0;
  if (error_.compare_exchange_strong(none, error)) failedCall_ = call;
}

Status Pieces::status() const {
  if (error_ != 0) return Status::system(failedCall_, error_);
  return withdrawn_ ? Status::fail(Failure::kClosed, "the sink is closed") : Status{};
}

}  // namespace vram

#include "pieces.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>

namespace vram {

namespace {

// Taken at a time: short enough that all threads end together, and that what was read is hashed from the L2 cache.
constexpr std::size_t kPieceBytes = 256 * 1024;
static_assert(kPieceBytes % kBlockBytes == 0);

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
    hasher_.hash(blocks_ + from, blocks, hashes_ + from / kBlockBytes * kHashBytes);
  }
}

void Pieces::hashFile() noexcept {
  const std::unique_ptr<uint8_t[]> buffer(new (std::nothrow) uint8_t[kPieceBytes]);
  if (buffer == nullptr) return fail("malloc", ENOMEM);
  while (error_ == 0 && end_ == length_) {
    const uint64_t from = next_.fetch_add(kPieceBytes);
    if (from >= length_) return;
    const std::size_t length = std::min<uint64_t>(kPieceBytes, length_ - from);
    if (!read(buffer.get(), from, length)) return;
    const std::size_t blocks = (length + kBlockBytes - 1) / kBlockBytes;
    std::memset(buffer.get() + length, 0, blocks * kBlockBytes - length);
    hasher_.hash(buffer.get(), blocks, hashes_ + from / kBlockBytes * kHashBytes);
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

Status Pieces::status() const { return error_ == 0 ? Status{} : Status::system(failedCall_, error_); }

}  // namespace vram

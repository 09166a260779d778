// Blocks that several threads hash together, a piece at a time. They lie in memory, or in a file that the threads read.
#ifndef VRAM_RESIDENCY_PIECES_H
#define VRAM_RESIDENCY_PIECES_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "../descriptor.h"
#include "../status.h"
#include "block_hasher.h"

namespace vram {

class Pieces {
 public:
  // Neither array may change, move or end before the last hash() has returned.
  Pieces(const BlockHasher& hasher, const uint8_t* blocks, std::size_t count, uint8_t* hashes)
      : hasher_(hasher), blocks_(blocks), length_(count * kBlockBytes), hashes_(hashes) {}
  // `length` bytes of the file from `offset` on; a last partial block is padded with zeros.
  Pieces(const BlockHasher& hasher, Descriptor file, uint64_t offset, uint64_t length, uint8_t* hashes)
      : hasher_(hasher), file_(std::move(file)), offset_(offset), length_(length), end_(length), hashes_(hashes) {}

  bool ofFile() const { return file_.open(); }

  // Takes pieces until none is left. From any number of threads at once; one is enough.
  void hash() noexcept;

  // Once every hash() has returned: why the file could not be read, if so.
  Status status() const;
  // Once every hash() has returned: how many of the `length` bytes are there, up to the first that is missing.
  uint64_t end() const { return end_; }

 private:
  void hashMemory() noexcept;
  void hashFile() noexcept;
  // Fills `buffer` from the file. False if it ends before, or cannot be read.
  bool read(uint8_t* buffer, uint64_t from, std::size_t length) noexcept;
  void fail(const char* call, int error) noexcept;

  const BlockHasher& hasher_;
  const Descriptor file_;
  const uint64_t offset_ = 0;
  const uint8_t* const blocks_ = nullptr;
  const uint64_t length_;
  std::atomic<uint64_t> next_{0};
  std::atomic<uint64_t> end_{0};
  // errno of the first failure, 0 if there was none. `failedCall_` is written by the thread that sets it.
  std::atomic<int> error_{0};
  const char* failedCall_ = "";
  uint8_t* const hashes_;
};

}  // namespace vram

#endif

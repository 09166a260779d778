// Blocks that several threads hash together, one piece at a time. The blocks are in memory, or in a file that the threads
// read.
#ifndef VRAM_RESIDENCY_PIECES_H
#define VRAM_RESIDENCY_PIECES_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "../descriptor.h"
#include "../sink.h"
#include "../status.h"
#include "block_hasher.h"

namespace vram {

class Pieces {
 public:
  // The hasher, and 32 bytes per block for the hashes. Empty: nothing is hashed.
  struct Hashing {
    const BlockHasher* hasher = nullptr;
    uint8_t* hashes = nullptr;
  };

  // Neither array may change, move or be freed before the last hash() has returned.
  Pieces(Hashing hashing, const uint8_t* blocks, std::size_t count)
      : hashing_(hashing), blocks_(blocks), length_(count * kBlockBytes) {}
  // `length` bytes of the file from `offset` on; a last partial block is padded with zeros. The bytes read are copied to
  // the sink, if there is one.
  Pieces(Descriptor file, uint64_t offset, uint64_t length, Hashing hashing, std::shared_ptr<Sink> sink)
      : hashing_(hashing), file_(std::move(file)), sink_(std::move(sink)), offset_(offset), length_(length), end_(length) {}

  bool ofFile() const { return file_.open(); }

  // Takes pieces until none is left. Any number of threads may call it at once; one is enough.
  void hash() noexcept;

  // Once every hash() has returned: why the file could not be read, if it could not; CLOSED if the sink was closed early.
  Status status() const;
  // Once every hash() has returned: how many of the `length` bytes are present, up to the first that is missing.
  uint64_t end() const { return end_; }

 private:
  void hashMemory() noexcept;
  void hashFile() noexcept;
  // Fills `buffer` from the file. False if it ends before, or cannot be read.
  bool read(uint8_t* buffer, uint64_t from, std::size_t length) noexcept;
  void fail(const char* call, int error) noexcept;

  const Hashing hashing_;
  const Descriptor file_;
  const std::shared_ptr<Sink> sink_;
  const uint64_t offset_ = 0;
  const uint8_t* const blocks_ = nullptr;
  const uint64_t length_;
  std::atomic<uint64_t> next_{0};
  std::atomic<uint64_t> end_{0};
  // errno of the first failure, 0 if there was none. `failedCall_` is written by the thread that sets it.
  std::atomic<int> error_{0};
  const char* failedCall_ = "";
  std::atomic<bool> withdrawn_{false};
};

}  // namespace vram

#endif

// Device memory: host pages that stray pointers cannot reach. Device addresses are outside the range that a process can
// map, so that host code that uses one as a pointer crashes at once; the pages themselves lie between inaccessible
// ones.
#ifndef VRAM_RESIDENCY_EMULATOR_MEMORY_H
#define VRAM_RESIDENCY_EMULATOR_MEMORY_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "exported_pages.h"

namespace emulator {

class GuardedPages {
 public:
  // Zero-filled. Errors: std::bad_alloc.
  explicit GuardedPages(size_t bytes);
  // The pages of a file, which other processes can map too. Errors: std::bad_alloc.
  explicit GuardedPages(const ExportedPages& file);
  ~GuardedPages();
  GuardedPages(const GuardedPages&) = delete;
  GuardedPages& operator=(const GuardedPages&) = delete;
  uint8_t* data() const { return data_; }
  size_t size() const { return bytes_; }

 private:
  void reserve();

  uint8_t* whole_ = nullptr;
  size_t wholeBytes_ = 0;
  uint8_t* data_ = nullptr;
  size_t bytes_;
};

struct Physical {
  enum class Origin {
    Created,
    Imported,  // of another process, which wipes it and counts it
  };
  Physical(int device_, size_t bytes) : device(device_), pages(bytes) {}
  Physical(int device_, std::unique_ptr<ExportedPages> file_, Origin origin_)
      : device(device_), origin(origin_), file(std::move(file_)), pages(*file) {}
  // Counts memory that is freed without having been wiped.
  ~Physical();
  Physical(const Physical&) = delete;
  Physical& operator=(const Physical&) = delete;
  static std::atomic<uint64_t> freed, freedUnwiped;
  int device;
  Origin origin = Origin::Created;
  // Null for memory that was not made to be exported.
  std::unique_ptr<ExportedPages> file;
  GuardedPages pages;
};

// A range of addresses mapped to memory.
struct Mapping {
  uint64_t begin = 0;
  uint64_t bytes = 0;
  std::shared_ptr<Physical> physical;
  uint64_t offset = 0;    // into `physical`
  bool readable = true, writable = true;
  bool plain = true;      // from cuMemAlloc, not from cuMemMap
  uint64_t context = 0;   // whose plain allocation it is
  uint64_t number = 0;    // order of creation
};

class AddressSpace {
 public:
  // A range that was never used before.
  uint64_t take(uint64_t bytes, uint64_t alignment);
  void add(const Mapping& mapping) { mappings_[mapping.begin] = mapping; }
  void remove(uint64_t begin) { mappings_.erase(begin); }
  Mapping* at(uint64_t begin);
  // The mapping that the address lies in, or null.
  Mapping* around(uint64_t address);
  std::map<uint64_t, Mapping>& all() { return mappings_; }

 private:
  static constexpr uint64_t kFirst = 0x00d0'0000'0000'0000;
  static constexpr uint64_t kGap = 4u << 20;
  uint64_t next_ = kFirst;
  std::map<uint64_t, Mapping> mappings_;
};

}  // namespace emulator

#endif

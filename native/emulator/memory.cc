#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

namespace emulator {

namespace {

size_t pageBytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

size_t wholePages(size_t bytes) { return (bytes + pageBytes() - 1) / pageBytes() * pageBytes(); }

}  // namespace

// Takes the addresses, all of them inaccessible.
void GuardedPages::reserve() {
  wholeBytes_ = wholePages(bytes_) + 2 * pageBytes();
  void* whole = mmap(nullptr, wholeBytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (whole == MAP_FAILED) throw std::bad_alloc();
  whole_ = static_cast<uint8_t*>(whole);
}

GuardedPages::GuardedPages(size_t bytes) : bytes_(bytes) {
  reserve();
  const size_t inner = wholePages(bytes);
  if (mprotect(whole_ + pageBytes(), inner, PROT_READ | PROT_WRITE) != 0) {
    munmap(whole_, wholeBytes_);
    throw std::bad_alloc();
  }
  // Page faults for every 4096 bytes, at the first touch and at the check for wiped memory, would dominate. A refusal
  // has no effect.
  static_cast<void>(madvise(whole_ + pageBytes(), inner, MADV_HUGEPAGE));
  // The end is adjacent to the guard page: overruns are more common than underruns. Kernels want 256-byte alignment of
  // the start.
  data_ = whole_ + pageBytes() + (inner - bytes) / 256 * 256;
}

GuardedPages::GuardedPages(const ExportedPages& file) : bytes_(file.size()) {
  reserve();
  data_ = whole_ + pageBytes();
  const int flags = MAP_SHARED | MAP_FIXED;
  if (mmap(data_, bytes_, PROT_READ | PROT_WRITE, flags, file.descriptor(), 0) == MAP_FAILED) {
    munmap(whole_, wholeBytes_);
    throw std::bad_alloc();
  }
}

GuardedPages::~GuardedPages() { munmap(whole_, wholeBytes_); }

uint64_t AddressSpace::take(uint64_t bytes, uint64_t alignment) {
  const uint64_t begin = (next_ + alignment - 1) / alignment * alignment;
  next_ = begin + bytes + kGap;
  return begin;
}

Mapping* AddressSpace::at(uint64_t begin) {
  const auto found = mappings_.find(begin);
  return found == mappings_.end() ? nullptr : &found->second;
}

Mapping* AddressSpace::around(uint64_t address) {
  auto after = mappings_.upper_bound(address);
  if (after == mappings_.begin()) return nullptr;
  Mapping& mapping = std::prev(after)->second;
  return address - mapping.begin < mapping.bytes ? &mapping : nullptr;
}

std::atomic<uint64_t> Physical::freed{0};
std::atomic<uint64_t> Physical::freedUnwiped{0};

Physical::~Physical() {
  if (origin == Origin::Imported) return;
  freed++;
  const uint8_t* data = pages.data();
  for (size_t k = 0; k < pages.size(); k++) {
    if (data[k] == 0) continue;
    freedUnwiped++;
    return;
  }
}

}  // namespace emulator

#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

namespace emulator {

GuardedPages::GuardedPages(size_t bytes) : bytes_(bytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t inner = (bytes + page - 1) / page * page;
  wholeBytes_ = inner + 2 * page;
  void* whole = mmap(nullptr, wholeBytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (whole == MAP_FAILED) throw std::bad_alloc();
  whole_ = static_cast<uint8_t*>(whole);
  if (mprotect(whole_ + page, inner, PROT_READ | PROT_WRITE) != 0) {
    munmap(whole_, wholeBytes_);
    throw std::bad_alloc();
  }
  // The end touches the guard: bytes are overrun more often than underrun. Kernels want 256-byte alignment of the start.
  data_ = whole_ + page + (inner - bytes) / 256 * 256;
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
  freed++;
  const uint8_t* data = pages.data();
  for (size_t k = 0; k < pages.size(); k++) {
    if (data[k] == 0) continue;
    freedUnwiped++;
    return;
  }
}

}  // namespace emulator

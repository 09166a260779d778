#include "exported_pages.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <new>

namespace emulator {
namespace {

constexpr char kMagic[16] = "vram emulator 1";

// The start of the last page.
struct Trailer {
  char magic[sizeof kMagic];
  CUuuid device;
  uint64_t bytes;
  // Random: identifies the memory in every process.
  uint64_t identity;
};

size_t pageBytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

int duplicateOf(int descriptor) { return fcntl(descriptor, F_DUPFD_CLOEXEC, 0); }

}  // namespace

std::unique_ptr<ExportedPages> ExportedPages::create(size_t bytes, const CUuuid& device) {
  const int descriptor = memfd_create("emulated device memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) throw std::bad_alloc();
  std::unique_ptr<ExportedPages> pages(new ExportedPages(descriptor));
  Trailer trailer{{}, device, bytes, 0};
  std::memcpy(trailer.magic, kMagic, sizeof kMagic);
  if (getrandom(&trailer.identity, sizeof trailer.identity, 0) != static_cast<ssize_t>(sizeof trailer.identity))
    throw std::bad_alloc();
  const auto end = static_cast<off_t>(bytes);
  if (ftruncate(descriptor, end + static_cast<off_t>(pageBytes())) != 0 ||
      pwrite(descriptor, &trailer, sizeof trailer, end) != static_cast<ssize_t>(sizeof trailer) ||
      // An importer cannot truncate the pages that others map.
      fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    throw std::bad_alloc();
  }
  pages->bytes_ = bytes;
  pages->device_ = device;
  pages->identity_ = trailer.identity;
  return pages;
}

std::unique_ptr<ExportedPages> ExportedPages::open(int descriptor) {
  const off_t end = lseek(descriptor, 0, SEEK_END) - static_cast<off_t>(pageBytes());
  if (end <= 0) return nullptr;
  Trailer trailer{};
  if (pread(descriptor, &trailer, sizeof trailer, end) != static_cast<ssize_t>(sizeof trailer)) return nullptr;
  if (std::memcmp(trailer.magic, kMagic, sizeof kMagic) != 0 || trailer.bytes != static_cast<uint64_t>(end)) return nullptr;
  const int own = duplicateOf(descriptor);
  if (own < 0) return nullptr;
  std::unique_ptr<ExportedPages> pages(new ExportedPages(own));
  pages->bytes_ = trailer.bytes;
  pages->device_ = trailer.device;
  pages->identity_ = trailer.identity;
  return pages;
}

ExportedPages::~ExportedPages() { close(descriptor_); }

int ExportedPages::duplicate() const { return duplicateOf(descriptor_); }

}  // namespace emulator

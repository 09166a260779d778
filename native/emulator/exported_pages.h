// Device memory that other processes can map: a memfd of the pages, followed by one page that identifies their device.
// cuMemExportToShareableHandle returns a duplicate of its descriptor.
#ifndef VRAM_RESIDENCY_EMULATOR_EXPORTED_PAGES_H
#define VRAM_RESIDENCY_EMULATOR_EXPORTED_PAGES_H

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "../driver_api.h"

namespace emulator {

class ExportedPages {
 public:
  // Zero-filled; `bytes` is a whole number of pages. Errors: std::bad_alloc.
  static std::unique_ptr<ExportedPages> create(size_t bytes, const CUuuid& device);
  // From a descriptor, which the caller keeps; null if it is not memory of an emulated device.
  static std::unique_ptr<ExportedPages> open(int descriptor);
  ~ExportedPages();
  ExportedPages(const ExportedPages&) = delete;
  ExportedPages& operator=(const ExportedPages&) = delete;

  size_t size() const { return bytes_; }
  const CUuuid& device() const { return device_; }
  int descriptor() const { return descriptor_; }
  // A new descriptor of the same memory, or -1.
  int duplicate() const;
  // Whether both are the same memory.
  bool same(const ExportedPages& other) const { return identity_ == other.identity_; }

 private:
  explicit ExportedPages(int descriptor) : descriptor_(descriptor) {}

  const int descriptor_;
  size_t bytes_ = 0;
  CUuuid device_{};
  uint64_t identity_ = 0;
};

}  // namespace emulator

#endif

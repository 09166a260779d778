#include "memory.h"

#include <fcntl.h>

#include <cerrno>
#include <limits>
#include <utility>

namespace vram {

bool roundUp(std::size_t bytes, std::size_t unit, std::size_t& out) {
  if (unit == 0 || bytes > std::numeric_limits<std::size_t>::max() - (unit - 1)) return false;
  out = (bytes + unit - 1) / unit * unit;
  return true;
}

CUmemAllocationProp propertiesOf(MemoryKind kind, CUdevice device) {
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.requestedHandleTypes =
      kind == MemoryKind::kShared ? CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR : CU_MEM_HANDLE_TYPE_NONE;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
  return properties;
}

Status Memory::allocate() {
  if (kind_ == MemoryKind::kPlain) {
    VRAM_TRY(VRAM_CALL(driver_, cuMemAlloc_v2, &address_, size_));
    usable_ = true;
    return {};
  }
  const CUmemAllocationProp properties = propertiesOf(kind_, device_);
  VRAM_TRY(VRAM_CALL(driver_, cuMemAddressReserve, &address_, size_, 0, 0, 0));
  VRAM_TRY(VRAM_CALL(driver_, cuMemCreate, &handle_, size_, &properties, 0));
  VRAM_TRY(map());
  VRAM_TRY(setAccess(CU_MEM_ACCESS_FLAGS_PROT_READWRITE));
  usable_ = true;
  return {};
}

Status Memory::import(const Descriptor& descriptor, int& granted) {
  // The driver takes the descriptor's number instead of a pointer.
  void* const shareable = reinterpret_cast<void*>(static_cast<intptr_t>(descriptor.get()));
  VRAM_TRY(VRAM_CALL(driver_, cuMemAddressReserve, &address_, size_, 0, 0, 0));
  constexpr int kType = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  VRAM_TRY(VRAM_CALL(driver_, cuMemImportFromShareableHandle, &handle_, shareable, kType));
  VRAM_TRY(map());
  VRAM_TRY(setAccess(CU_MEM_ACCESS_FLAGS_PROT_READ));
  VRAM_TRY(access(granted));
  usable_ = true;
  return {};
}

Status Memory::exportTo(Descriptor& out) {
  if (kind_ != MemoryKind::kShared) return Status::fail(Failure::kState, "the memory was not allocated for sharing");
  int descriptor = -1;
  constexpr int kType = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  VRAM_TRY(VRAM_CALL(driver_, cuMemExportToShareableHandle, &descriptor, handle_, kType, 0));
  Descriptor owned(descriptor);
  if (fcntl(owned.get(), F_SETFD, FD_CLOEXEC) != 0) return Status::system("fcntl", errno);
  exported_ = true;
  out = std::move(owned);
  return {};
}

Status Memory::map() {
  VRAM_TRY(VRAM_CALL(driver_, cuMemMap, address_, size_, 0, handle_, 0));
  mapped_ = true;
  return {};
}

Status Memory::setAccess(int flags) {
  const CUmemAccessDesc access{{CU_MEM_LOCATION_TYPE_DEVICE, device_}, flags};
  VRAM_TRY(VRAM_CALL(driver_, cuMemSetAccess, address_, size_, &access, 1));
  readOnly_ = flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  return {};
}

Status Memory::access(int& granted) const {
  unsigned long long flags = 0;
  const CUmemLocation location{CU_MEM_LOCATION_TYPE_DEVICE, device_};
  VRAM_TRY(VRAM_CALL(driver_, cuMemGetAccess, &flags, &location, address_));
  granted = static_cast<int>(flags);
  return {};
}

Status Memory::protect(bool readOnly, int& granted) {
  if (kind_ == MemoryKind::kPlain) return Status::fail(Failure::kState, "plain memory has no access rights to set");
  VRAM_TRY(setAccess(readOnly ? CU_MEM_ACCESS_FLAGS_PROT_READ : CU_MEM_ACCESS_FLAGS_PROT_READWRITE));
  return access(granted);
}

bool Memory::given(const Status& status) const {
  return status.ok() ||
         (retrying_ && (status.result == CUDA_ERROR_INVALID_VALUE || status.result == CUDA_ERROR_INVALID_HANDLE));
}

Status Memory::release() {
  Status first;
  usable_ = false;
  if (kind_ == MemoryKind::kPlain) {
    // Freed even when an error is returned: the error may be one of earlier work.
    if (address_ != 0) first.keep(VRAM_CALL(driver_, cuMemFree_v2, std::exchange(address_, 0)));
    return first;
  }
  if (mapped_) {
    Status status = VRAM_CALL(driver_, cuMemUnmap, address_, size_);
    if (given(status)) mapped_ = false;
    first.keep(std::move(status));
  }
  if (handle_ != 0) {
    Status status = VRAM_CALL(driver_, cuMemRelease, handle_);
    if (given(status)) handle_ = 0;
    first.keep(std::move(status));
  }
  // The driver refuses this while anything is mapped: success also shows that nothing is mapped.
  if (address_ != 0) {
    Status status = VRAM_CALL(driver_, cuMemAddressFree, address_, size_);
    if (given(status)) {
      address_ = 0;
      mapped_ = false;
    }
    first.keep(std::move(status));
  }
  retrying_ = true;
  return first;
}

}  // namespace vram

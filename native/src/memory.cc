#include "memory.h"

#include <limits>
#include <utility>

namespace vram {

bool roundUp(std::size_t bytes, std::size_t unit, std::size_t& out) {
  if (unit == 0 || bytes > std::numeric_limits<std::size_t>::max() - (unit - 1)) return false;
  out = (bytes + unit - 1) / unit * unit;
  return true;
}

Status Memory::allocate() {
  if (kind_ == MemoryKind::kPlain) {
    VRAM_TRY(VRAM_CALL(driver_, cuMemAlloc_v2, &address_, size_));
    usable_ = true;
    return {};
  }
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, device_};
  VRAM_TRY(VRAM_CALL(driver_, cuMemAddressReserve, &address_, size_, 0, 0, 0));
  VRAM_TRY(VRAM_CALL(driver_, cuMemCreate, &handle_, size_, &properties, 0));
  VRAM_TRY(VRAM_CALL(driver_, cuMemMap, address_, size_, 0, handle_, 0));
  mapped_ = true;
  VRAM_TRY(setAccess(CU_MEM_ACCESS_FLAGS_PROT_READWRITE));
  usable_ = true;
  return {};
}

Status Memory::setAccess(int flags) {
  const CUmemAccessDesc access{{CU_MEM_LOCATION_TYPE_DEVICE, device_}, flags};
  VRAM_TRY(VRAM_CALL(driver_, cuMemSetAccess, address_, size_, &access, 1));
  readOnly_ = flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  return {};
}

Status Memory::protect(bool readOnly, int& granted) {
  if (kind_ == MemoryKind::kPlain) return Status::fail(Failure::kState, "plain memory has no access rights to set");
  VRAM_TRY(setAccess(readOnly ? CU_MEM_ACCESS_FLAGS_PROT_READ : CU_MEM_ACCESS_FLAGS_PROT_READWRITE));
  unsigned long long flags = 0;
  const CUmemLocation location{CU_MEM_LOCATION_TYPE_DEVICE, device_};
  VRAM_TRY(VRAM_CALL(driver_, cuMemGetAccess, &flags, &location, address_));
  granted = static_cast<int>(flags);
  return {};
}

bool Memory::given(const Status& status) const {
  return status.ok() || (retrying_ && (status.result == CUDA_ERROR_INVALID_VALUE || status.result == CUDA_ERROR_INVALID_HANDLE));
}

Status Memory::giveBack() {
  Status first;
  usable_ = false;
  if (kind_ == MemoryKind::kPlain) {
    // Freed even when an error is returned: that may be one of earlier work.
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
  // The driver refuses this while anything is mapped: success also tells that nothing is.
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

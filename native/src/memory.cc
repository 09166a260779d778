#include "memory.h"

#include <limits>

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

Status Memory::giveBack() {
  Status first;
  usable_ = false;
  if (kind_ == MemoryKind::kPlain) {
    if (address_ != 0) {
      first.keep(VRAM_CALL(driver_, cuMemFree_v2, address_));
      if (first.ok()) address_ = 0;
    }
    return first;
  }
  if (mapped_) {
    Status status = VRAM_CALL(driver_, cuMemUnmap, address_, size_);
    mapped_ = !status.ok();
    first.keep(std::move(status));
  }
  if (handle_ != 0) {
    Status status = VRAM_CALL(driver_, cuMemRelease, handle_);
    if (status.ok()) handle_ = 0;
    first.keep(std::move(status));
  }
  // A range must not be freed under a mapping.
  if (address_ != 0 && !mapped_) {
    Status status = VRAM_CALL(driver_, cuMemAddressFree, address_, size_);
    if (status.ok()) address_ = 0;
    first.keep(std::move(status));
  }
  return first;
}

}  // namespace vram

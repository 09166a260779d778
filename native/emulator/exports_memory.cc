#include <algorithm>
#include <cstring>

#include "call.h"

using namespace emulator;

namespace {

CUresult allocatePinned(Call which, void** memory, std::size_t bytes) {
  return enterContext(which, [&](Driver& driver, uint64_t context, Context&) -> CUresult {
    if (memory == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    auto pages = std::make_unique<GuardedPages>(bytes);
    uint8_t* data = pages->data();
    driver.pinned[data] = Pinned{std::move(pages), context};
    *memory = data;
    return CUDA_SUCCESS;
  });
}

CUresult pointerAttribute(Driver& driver, void* value, int attribute, CUdeviceptr address) {
  const Mapping* mapping = driver.addresses.around(address);
  const bool host = driver.pinned.count(reinterpret_cast<const uint8_t*>(address)) > 0;
  if (mapping == nullptr && !host) return CUDA_ERROR_INVALID_VALUE;
  if (host) {
    if (attribute != CU_POINTER_ATTRIBUTE_MEMORY_TYPE) return CUDA_ERROR_INVALID_VALUE;
    *static_cast<unsigned*>(value) = CU_MEMORYTYPE_HOST;
    return CUDA_SUCCESS;
  }
  const DeviceConfig& config = driver.devices[static_cast<size_t>(mapping->physical->device)].config;
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT: *static_cast<uint64_t*>(value) = mapping->context; break;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE: *static_cast<unsigned*>(value) = config.memoryType; break;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER: *static_cast<CUdeviceptr*>(value) = address; break;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED: *static_cast<unsigned*>(value) = config.managed ? 1 : 0; break;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *static_cast<int*>(value) = mapping->physical->device; break;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR: *static_cast<CUdeviceptr*>(value) = mapping->begin; break;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE: *static_cast<std::size_t*>(value) = mapping->bytes; break;
    case CU_POINTER_ATTRIBUTE_MAPPED: *static_cast<unsigned*>(value) = 1; break;
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
      *static_cast<int*>(value) = mapping->writable ? 3 : mapping->readable ? 1 : 0;
      break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

}  // namespace

VR_EXPORT CUresult cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
  return enterContext(Call::cuMemGetInfo_v2, [&](Driver& driver, uint64_t, Context& context) -> CUresult {
    if (free == nullptr || total == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *free = driver.freeBytes(context.device);
    *total = driver.devices[static_cast<size_t>(context.device)].config.totalBytes;
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuMemGetAddressRange_v2(CUdeviceptr* base, std::size_t* bytes, CUdeviceptr at) {
  return enterContext(Call::cuMemGetAddressRange_v2, [&](Driver& driver, uint64_t, Context&) -> CUresult {
    const Mapping* mapping = driver.addresses.around(at);
    if (mapping == nullptr) return CUDA_ERROR_NOT_FOUND;
    if (base != nullptr) *base = mapping->begin;
    if (bytes != nullptr) *bytes = mapping->bytes;
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuMemAlloc_v2(CUdeviceptr* address, std::size_t bytes) {
  return enterContext(Call::cuMemAlloc_v2, [&](Driver& driver, uint64_t handle, Context& context) -> CUresult {
    if (address == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (!driver.hasRoom(context.device, bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
    Mapping mapping;
    mapping.physical = std::make_shared<Physical>(context.device, bytes);
    // New memory has arbitrary content.
    std::memset(mapping.physical->pages.data(), 0xa5, std::min<size_t>(bytes, 64 * 1024));
    mapping.begin = driver.addresses.take(bytes, 512);
    mapping.bytes = bytes;
    mapping.context = handle;
    mapping.number = driver.newHandle();
    driver.addresses.add(mapping);
    driver.devices[static_cast<size_t>(context.device)].usedBytes += bytes;
    *address = mapping.begin;
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuMemFree_v2(CUdeviceptr address) {
  return enterContext(Call::cuMemFree_v2, [&](Driver& driver, uint64_t, Context&) -> CUresult {
    Mapping* mapping = driver.addresses.at(address);
    if (mapping == nullptr || !mapping->plain) return CUDA_ERROR_INVALID_VALUE;
    noteWait(driver);
    const uint64_t owner = mapping->context;
    const CUresult result = driver.drainContext(owner);
    driver.devices[static_cast<size_t>(mapping->physical->device)].usedBytes -= mapping->bytes;
    driver.addresses.remove(address);
    return result;
  });
}

VR_EXPORT CUresult cuMemAllocHost_v2(void** memory, std::size_t bytes) {
  return allocatePinned(Call::cuMemAllocHost_v2, memory, bytes);
}

VR_EXPORT CUresult cuMemHostAlloc(void** memory, std::size_t bytes, unsigned) {
  return allocatePinned(Call::cuMemHostAlloc, memory, bytes);
}

VR_EXPORT CUresult cuMemFreeHost(void* memory) {
  return enterContext(Call::cuMemFreeHost, [&](Driver& driver, uint64_t handle, Context&) -> CUresult {
    const auto found = driver.pinned.find(static_cast<const uint8_t*>(memory));
    if (found == driver.pinned.end()) return CUDA_ERROR_INVALID_VALUE;
    const uint8_t* begin = found->first;
    const uint8_t* end = begin + found->second.pages->size();
    bool inUse = false;
    for (const auto& entry : driver.streams)
      for (const Work& work : entry.second.queue)
        inUse = inUse || (work.host != nullptr && work.host < end && work.host + work.hostBytes > begin);
    if (inUse) driver.makeSticky(handle, CUDA_ERROR_ILLEGAL_ADDRESS, "pinned memory freed while a copy of it was under way");
    driver.pinned.erase(found);
    return inUse ? CUDA_ERROR_ILLEGAL_ADDRESS : CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuPointerGetAttribute(void* value, int attribute, CUdeviceptr address) {
  return enterContext(Call::cuPointerGetAttribute, [&](Driver& driver, uint64_t, Context&) -> CUresult {
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return pointerAttribute(driver, value, attribute, address);
  });
}

VR_EXPORT CUresult cuPointerGetAttributes(unsigned count, int* attributes, void** values, CUdeviceptr address) {
  return enterContext(Call::cuPointerGetAttributes, [&](Driver& driver, uint64_t, Context&) -> CUresult {
    if (attributes == nullptr || values == nullptr) return CUDA_ERROR_INVALID_VALUE;
    for (unsigned k = 0; k < count; k++) {
      // Attributes that do not apply are left unchanged, without an error.
      if (values[k] == nullptr) return CUDA_ERROR_INVALID_VALUE;
      pointerAttribute(driver, values[k], attributes[k], address);
    }
    return CUDA_SUCCESS;
  });
}

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
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS: *static_cast<int*>(value) = mapping->writable ? 3 : mapping->readable ? 1 : 0; break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

bool rightProperties(const Driver& driver, const CUmemAllocationProp* p) {
  return p != nullptr && p->type == CU_MEM_ALLOCATION_TYPE_PINNED && p->location.type == CU_MEM_LOCATION_TYPE_DEVICE &&
         p->location.id >= 0 && static_cast<size_t>(p->location.id) < driver.devices.size() && p->requestedHandleTypes == CU_MEM_HANDLE_TYPE_NONE;
}

bool vmm(const Driver& driver, int device) { return driver.devices[static_cast<size_t>(device)].config.vmm; }

// The reservation that holds the whole range, or null.
bool reserved(const Driver& driver, uint64_t address, uint64_t bytes) {
  auto after = driver.reservations.upper_bound(address);
  if (after == driver.reservations.begin()) return false;
  const auto& [begin, reservation] = *std::prev(after);
  return address - begin <= reservation.bytes && bytes <= reservation.bytes - (address - begin);
}

// Mappings made by cuMemMap that fill the range without a gap; empty if they do not.
std::vector<Mapping*> mapped(Driver& driver, uint64_t address, uint64_t bytes) {
  std::vector<Mapping*> list;
  for (uint64_t at = address; at < address + bytes;) {
    Mapping* mapping = driver.addresses.at(at);
    if (mapping == nullptr || mapping->plain || mapping->bytes > address + bytes - at) return {};
    list.push_back(mapping);
    at += mapping->bytes;
  }
  return list;
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
    // Memory comes with whatever it held before.
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

VR_EXPORT CUresult cuMemAllocHost_v2(void** memory, std::size_t bytes) { return allocatePinned(Call::cuMemAllocHost_v2, memory, bytes); }

VR_EXPORT CUresult cuMemHostAlloc(void** memory, std::size_t bytes, unsigned) { return allocatePinned(Call::cuMemHostAlloc, memory, bytes); }

VR_EXPORT CUresult cuMemFreeHost(void* memory) {
  return enterContext(Call::cuMemFreeHost, [&](Driver& driver, uint64_t handle, Context&) -> CUresult {
    const auto found = driver.pinned.find(static_cast<const uint8_t*>(memory));
    if (found == driver.pinned.end()) return CUDA_ERROR_INVALID_VALUE;
    const uint8_t* begin = found->first;
    const uint8_t* end = begin + found->second.pages->size();
    bool inUse = false;
    for (const auto& entry : driver.streams)
      for (const Work& work : entry.second.queue) inUse = inUse || (work.host != nullptr && work.host < end && work.host + work.hostBytes > begin);
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
      // What does not apply is left as it was, without an error.
      if (values[k] == nullptr) return CUDA_ERROR_INVALID_VALUE;
      pointerAttribute(driver, values[k], attributes[k], address);
    }
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuMemGetAllocationGranularity(std::size_t* bytes, const CUmemAllocationProp* properties, int option) {
  return enter(Call::cuMemGetAllocationGranularity, [&](Driver& driver) -> CUresult {
    if (bytes == nullptr || option < 0 || option > 1 || !rightProperties(driver, properties)) return CUDA_ERROR_INVALID_VALUE;
    if (!vmm(driver, properties->location.id)) return CUDA_ERROR_NOT_SUPPORTED;
    *bytes = driver.config.granularity;
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuMemAddressReserve(CUdeviceptr* address, std::size_t bytes, std::size_t alignment, CUdeviceptr, unsigned long long flags) {
  return enter(Call::cuMemAddressReserve, [&](Driver& driver) -> CUresult {
    const uint64_t granularity = driver.config.granularity;
    if (address == nullptr || bytes == 0 || bytes % granularity != 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if ((alignment & (alignment - 1)) != 0) return CUDA_ERROR_INVALID_VALUE;
    *address = driver.addresses.take(bytes, std::max<uint64_t>(alignment, granularity));
    driver.reservations[*address] = Reservation{bytes};
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuMemAddressFree(CUdeviceptr address, std::size_t bytes) {
  return enter(Call::cuMemAddressFree, [&](Driver& driver) -> CUresult {
    const auto found = driver.reservations.find(address);
    if (found == driver.reservations.end() || found->second.bytes != bytes) return CUDA_ERROR_INVALID_VALUE;
    const auto& all = driver.addresses.all();
    const auto next = all.lower_bound(address);
    if (next != all.end() && next->first < address + bytes) return CUDA_ERROR_INVALID_VALUE;  // still mapped
    driver.reservations.erase(found);
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, std::size_t bytes, const CUmemAllocationProp* properties,
                               unsigned long long flags) {
  return enter(Call::cuMemCreate, [&](Driver& driver) -> CUresult {
    if (handle == nullptr || flags != 0 || !rightProperties(driver, properties)) return CUDA_ERROR_INVALID_VALUE;
    if (bytes == 0 || bytes % driver.config.granularity != 0) return CUDA_ERROR_INVALID_VALUE;
    const int device = properties->location.id;
    if (!vmm(driver, device)) return CUDA_ERROR_NOT_SUPPORTED;
    if (driver.devices[static_cast<size_t>(device)].lost != CUDA_SUCCESS) return driver.devices[static_cast<size_t>(device)].lost;
    if (!driver.hasRoom(device, bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
    const uint64_t number = driver.newHandle();
    // The device's figure falls when the last owner, handle or mapping, is gone.
    const uint64_t epoch = driver.epoch;
    std::shared_ptr<Physical> memory(new Physical(device, bytes), [epoch](Physical* p) {
      Driver& d = Driver::instance();
      if (epoch == d.epoch) d.devices[static_cast<size_t>(p->device)].usedBytes -= p->pages.size();
      delete p;
    });
    driver.devices[static_cast<size_t>(device)].usedBytes += bytes;
    driver.physical[number] = PhysicalHandle{std::move(memory), number};
    *handle = number;
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  return enter(Call::cuMemRelease, [&](Driver& driver) -> CUresult {
    return driver.physical.erase(handle) > 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

VR_EXPORT CUresult cuMemMap(CUdeviceptr address, std::size_t bytes, std::size_t offset, CUmemGenericAllocationHandle handle,
                            unsigned long long flags) {
  return enter(Call::cuMemMap, [&](Driver& driver) -> CUresult {
    const auto found = driver.physical.find(handle);
    const uint64_t granularity = driver.config.granularity;
    if (found == driver.physical.end() || flags != 0 || bytes == 0 || offset != 0) return CUDA_ERROR_INVALID_VALUE;
    if (address % granularity != 0 || bytes % granularity != 0 || bytes > found->second.physical->pages.size()) return CUDA_ERROR_INVALID_VALUE;
    if (!reserved(driver, address, bytes)) return CUDA_ERROR_INVALID_VALUE;
    const auto& all = driver.addresses.all();
    const auto next = all.lower_bound(address);
    const bool taken = driver.addresses.around(address) != nullptr || (next != all.end() && next->first < address + bytes);
    if (taken) return CUDA_ERROR_ALREADY_MAPPED;
    Mapping mapping;
    mapping.begin = address;
    mapping.bytes = bytes;
    mapping.physical = found->second.physical;
    mapping.plain = mapping.readable = mapping.writable = false;
    mapping.number = driver.newHandle();
    driver.addresses.add(mapping);
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuMemUnmap(CUdeviceptr address, std::size_t bytes) {
  return enter(Call::cuMemUnmap, [&](Driver& driver) -> CUresult {
    const std::vector<Mapping*> list = mapped(driver, address, bytes);
    if (list.empty()) return CUDA_ERROR_INVALID_VALUE;
    std::vector<uint64_t> begins;
    for (const Mapping* mapping : list) begins.push_back(mapping->begin);
    for (uint64_t begin : begins) driver.addresses.remove(begin);
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuMemSetAccess(CUdeviceptr address, std::size_t bytes, const CUmemAccessDesc* access, std::size_t count) {
  return enter(Call::cuMemSetAccess, [&](Driver& driver) -> CUresult {
    if (access == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
    const std::vector<Mapping*> list = mapped(driver, address, bytes);
    if (list.empty()) return CUDA_ERROR_INVALID_VALUE;
    for (std::size_t k = 0; k < count; k++) {
      if (access[k].location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
      if (access[k].flags != 0 && access[k].flags != 1 && access[k].flags != 3) return CUDA_ERROR_INVALID_VALUE;
      for (Mapping* mapping : list) {
        if (mapping->physical->device != access[k].location.id) return CUDA_ERROR_NOT_SUPPORTED;  // no peer access here
        mapping->readable = (access[k].flags & 1) != 0;
        // ignoreReadOnly: a driver that promises more than it does, so that asking it back shows.
        mapping->writable = access[k].flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE || (driver.config.ignoreReadOnly && access[k].flags != 0);
      }
    }
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuMemGetAccess(unsigned long long* flags, const CUmemLocation* location, CUdeviceptr address) {
  return enter(Call::cuMemGetAccess, [&](Driver& driver) -> CUresult {
    if (flags == nullptr || location == nullptr || location->type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
    const Mapping* mapping = driver.addresses.around(address);
    if (mapping == nullptr || mapping->plain) return CUDA_ERROR_INVALID_VALUE;
    const bool own = mapping->physical->device == location->id;
    *flags = !own ? 0 : mapping->writable ? 3 : mapping->readable ? 1 : 0;
    return CUDA_SUCCESS;
  });
}

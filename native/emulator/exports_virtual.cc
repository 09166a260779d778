// Virtual memory management: memory apart from addresses, with access rights, and handles of it for other processes.
#include <algorithm>
#include <cstring>
#include <utility>

#include "call.h"

using namespace emulator;

namespace {

bool rightProperties(const Driver& driver, const CUmemAllocationProp* p) {
  if (p == nullptr || p->type != CU_MEM_ALLOCATION_TYPE_PINNED || p->location.type != CU_MEM_LOCATION_TYPE_DEVICE)
    return false;
  if (p->location.id < 0 || static_cast<size_t>(p->location.id) >= driver.devices.size()) return false;
  return p->requestedHandleTypes == CU_MEM_HANDLE_TYPE_NONE ||
         p->requestedHandleTypes == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
}

// Whether the device supports this memory, and these handles of it.
bool supported(const Driver& driver, const CUmemAllocationProp& p) {
  const DeviceConfig& config = driver.devices[static_cast<size_t>(p.location.id)].config;
  return config.vmm && (p.requestedHandleTypes == CU_MEM_HANDLE_TYPE_NONE || config.posixHandles);
}

// Takes `bytes` of the device's memory, which are returned when the last owner, handle or mapping, is gone.
std::shared_ptr<Physical> taken(Driver& driver, std::unique_ptr<Physical> memory) {
  const uint64_t epoch = driver.epoch;
  driver.devices[static_cast<size_t>(memory->device)].usedBytes += memory->pages.size();
  return std::shared_ptr<Physical>(memory.release(), [epoch](Physical* p) {
    Driver& d = Driver::instance();
    if (epoch == d.epoch) d.devices[static_cast<size_t>(p->device)].usedBytes -= p->pages.size();
    delete p;
  });
}

CUmemGenericAllocationHandle handleFor(Driver& driver, std::shared_ptr<Physical> memory) {
  const uint64_t number = driver.newHandle();
  driver.physical[number] = PhysicalHandle{std::move(memory), number};
  return number;
}

// This process's existing object for the memory, from a handle or a mapping; or null.
std::shared_ptr<Physical> known(Driver& driver, const ExportedPages& file) {
  const auto same = [&](const std::shared_ptr<Physical>& memory) {
    return memory->file != nullptr && memory->file->same(file);
  };
  for (const auto& entry : driver.physical)
    if (same(entry.second.physical)) return entry.second.physical;
  for (const auto& entry : driver.addresses.all())
    if (same(entry.second.physical)) return entry.second.physical;
  return nullptr;
}

// The device of this process that the pages lie on, or -1.
int deviceOf(const Driver& driver, const ExportedPages& file) {
  for (size_t k = 0; k < driver.devices.size(); k++) {
    const CUuuid uuid = driver.uuidOf(static_cast<int>(k));
    if (std::memcmp(&uuid, &file.device(), sizeof uuid) == 0) return static_cast<int>(k);
  }
  return -1;
}

// One reservation holds the whole range.
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

VR_EXPORT CUresult cuMemGetAllocationGranularity(std::size_t* bytes, const CUmemAllocationProp* properties, int option) {
  return enter(Call::cuMemGetAllocationGranularity, [&](Driver& driver) -> CUresult {
    if (bytes == nullptr || option < 0 || option > 1 || !rightProperties(driver, properties))
      return CUDA_ERROR_INVALID_VALUE;
    if (!supported(driver, *properties)) return CUDA_ERROR_NOT_SUPPORTED;
    *bytes = driver.config.granularity;
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuMemAddressReserve(CUdeviceptr* address, std::size_t bytes, std::size_t alignment, CUdeviceptr,
                                       unsigned long long flags) {
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

VR_EXPORT CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, std::size_t bytes,
                               const CUmemAllocationProp* properties, unsigned long long flags) {
  return enter(Call::cuMemCreate, [&](Driver& driver) -> CUresult {
    if (handle == nullptr || flags != 0 || !rightProperties(driver, properties)) return CUDA_ERROR_INVALID_VALUE;
    if (bytes == 0 || bytes % driver.config.granularity != 0) return CUDA_ERROR_INVALID_VALUE;
    const int device = properties->location.id;
    if (!supported(driver, *properties)) return CUDA_ERROR_NOT_SUPPORTED;
    if (driver.devices[static_cast<size_t>(device)].lost != CUDA_SUCCESS)
      return driver.devices[static_cast<size_t>(device)].lost;
    if (!driver.hasRoom(device, bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
    std::unique_ptr<Physical> memory;
    if (properties->requestedHandleTypes == CU_MEM_HANDLE_TYPE_NONE) {
      memory = std::make_unique<Physical>(device, bytes);
    } else {
      if (bytes % static_cast<size_t>(sysconf(_SC_PAGESIZE)) != 0) return CUDA_ERROR_INVALID_VALUE;
      memory = std::make_unique<Physical>(device, ExportedPages::create(bytes, driver.uuidOf(device)),
                                          Physical::Origin::Created);
    }
    *handle = handleFor(driver, taken(driver, std::move(memory)));
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  return enter(Call::cuMemRelease, [&](Driver& driver) -> CUresult {
    return driver.physical.erase(handle) > 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

VR_EXPORT CUresult cuMemExportToShareableHandle(void* shareable, CUmemGenericAllocationHandle handle, int handleType,
                                                unsigned long long flags) {
  return enter(Call::cuMemExportToShareableHandle, [&](Driver& driver) -> CUresult {
    const auto found = driver.physical.find(handle);
    if (shareable == nullptr || flags != 0 || found == driver.physical.end()) return CUDA_ERROR_INVALID_VALUE;
    const auto& file = found->second.physical->file;
    if (handleType != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR || file == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const int descriptor = file->duplicate();
    if (descriptor < 0) return CUDA_ERROR_OPERATING_SYSTEM;
    *static_cast<int*>(shareable) = descriptor;
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle* handle, void* shareable, int handleType) {
  return enter(Call::cuMemImportFromShareableHandle, [&](Driver& driver) -> CUresult {
    if (handle == nullptr || handleType != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) return CUDA_ERROR_INVALID_VALUE;
    auto file = ExportedPages::open(static_cast<int>(reinterpret_cast<intptr_t>(shareable)));
    if (file == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<Physical> memory = known(driver, *file);
    if (memory == nullptr) {
      const int device = deviceOf(driver, *file);
      if (device < 0) return CUDA_ERROR_INVALID_DEVICE;
      memory = taken(driver, std::make_unique<Physical>(device, std::move(file), Physical::Origin::Imported));
    }
    *handle = handleFor(driver, std::move(memory));
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuMemMap(CUdeviceptr address, std::size_t bytes, std::size_t offset, CUmemGenericAllocationHandle handle,
                            unsigned long long flags) {
  return enter(Call::cuMemMap, [&](Driver& driver) -> CUresult {
    const auto found = driver.physical.find(handle);
    const uint64_t granularity = driver.config.granularity;
    if (found == driver.physical.end() || flags != 0 || bytes == 0 || offset != 0) return CUDA_ERROR_INVALID_VALUE;
    if (address % granularity != 0 || bytes % granularity != 0 || bytes > found->second.physical->pages.size())
      return CUDA_ERROR_INVALID_VALUE;
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
        // ignoreReadOnly: a driver that accepts read-only rights without applying them, which a query then shows.
        mapping->writable = access[k].flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE ||
                            (driver.config.ignoreReadOnly && access[k].flags != 0);
      }
    }
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuMemGetAccess(unsigned long long* flags, const CUmemLocation* location, CUdeviceptr address) {
  return enter(Call::cuMemGetAccess, [&](Driver& driver) -> CUresult {
    if (flags == nullptr || location == nullptr || location->type != CU_MEM_LOCATION_TYPE_DEVICE)
      return CUDA_ERROR_INVALID_VALUE;
    const Mapping* mapping = driver.addresses.around(address);
    if (mapping == nullptr || mapping->plain) return CUDA_ERROR_INVALID_VALUE;
    const bool own = mapping->physical->device == location->id;
    *flags = !own ? 0 : mapping->writable ? 3 : mapping->readable ? 1 : 0;
    return CUDA_SUCCESS;
  });
}

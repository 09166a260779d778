#include <algorithm>
#include <cstdio>
#include <cstring>

#include "call.h"

using namespace emulator;

namespace {

bool known(const Driver& driver, CUdevice device) {
  return device >= 0 && static_cast<size_t>(device) < driver.devices.size();
}

template <typename F>
CUresult ofDevice(Call which, CUdevice device, F body) {
  return enter(which, [&](Driver& driver) -> CUresult {
    if (!known(driver, device)) return CUDA_ERROR_INVALID_DEVICE;
    return body(driver, driver.devices[static_cast<size_t>(device)]);
  });
}

CUresult uuidOf(Call which, CUuuid* uuid, CUdevice device) {
  return ofDevice(which, device, [&](Driver& driver, Device&) -> CUresult {
    if (uuid == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *uuid = driver.uuidOf(device);
    return CUDA_SUCCESS;
  });
}

CUresult textOf(CUresult error, const char** text, bool name) {
  if (text == nullptr) return CUDA_ERROR_INVALID_VALUE;
  switch (error) {
#define VR_RESULT_CASE(constant, value, explanation) \
  case value:                                        \
    *text = name ? #constant : explanation;          \
    return CUDA_SUCCESS;
    VR_CUDA_RESULTS(VR_RESULT_CASE)
#undef VR_RESULT_CASE
    default:
      *text = nullptr;
      return CUDA_ERROR_INVALID_VALUE;
  }
}

int attributeOf(const DeviceConfig& c, int attribute, int device) {
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y: return 1024;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z: return 64;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: return 0x7fffffff;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y: case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: return 65535;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: return 48 * 1024;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: return 32;
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE: case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE: return 1'000'000;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: return c.multiprocessors;
    case CU_DEVICE_ATTRIBUTE_INTEGRATED: return c.integrated;
    case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS: case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING: return 1;
    case CU_DEVICE_ATTRIBUTE_ECC_ENABLED: return c.ecc;
    case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID: return device + 1;
    case CU_DEVICE_ATTRIBUTE_TCC_DRIVER: return c.tcc;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH: return 256;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE: return 4 << 20;
    case CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT: return 2;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: return c.major;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: return c.minor;
    case CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY: return 1;
    case CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS: case CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS: return c.managed;
    case CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES: return c.integrated && c.managed;
    case CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED: return c.vmm;
    case CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED: return c.vmm && c.posixHandles;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_MODE:
    case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID:
    case CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID:
      return 0;
    default: return -1;
  }
}

}  // namespace

VR_EXPORT CUresult cuInit(unsigned flags) {
  return enter(Call::cuInit, [&](Driver& driver) -> CUresult {
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (driver.config.initResult != CUDA_SUCCESS) return driver.config.initResult;
    if (driver.devices.empty()) return CUDA_ERROR_NO_DEVICE;
    driver.initialised = true;
    driver.process = getpid();
    return CUDA_SUCCESS;
  }, true);
}

VR_EXPORT CUresult cuDriverGetVersion(int* version) {
  return enter(Call::cuDriverGetVersion, [&](Driver& driver) -> CUresult {
    if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *version = driver.config.driverVersion;
    return CUDA_SUCCESS;
  }, true);
}

VR_EXPORT CUresult cuGetErrorName(CUresult error, const char** name) {
  return enter(Call::cuGetErrorName, [&](Driver&) { return textOf(error, name, true); }, true);
}

VR_EXPORT CUresult cuGetErrorString(CUresult error, const char** text) {
  return enter(Call::cuGetErrorString, [&](Driver&) { return textOf(error, text, false); }, true);
}

VR_EXPORT CUresult cuDeviceGetCount(int* count) {
  return enter(Call::cuDeviceGetCount, [&](Driver& driver) -> CUresult {
    if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<int>(driver.devices.size());
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  return ofDevice(Call::cuDeviceGet, ordinal, [&](Driver&, Device&) -> CUresult {
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *device = ordinal;
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
  return ofDevice(Call::cuDeviceGetName, device, [&](Driver&, Device& d) -> CUresult {
    if (name == nullptr || length <= 0) return CUDA_ERROR_INVALID_VALUE;
    std::snprintf(name, static_cast<size_t>(length), "%s", d.config.name.c_str());
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuDeviceGetUuid(CUuuid* uuid, CUdevice device) { return uuidOf(Call::cuDeviceGetUuid, uuid, device); }
VR_EXPORT CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) {
  return uuidOf(Call::cuDeviceGetUuid_v2, uuid, device);
}

VR_EXPORT CUresult cuDeviceGetPCIBusId(char* id, int length, CUdevice device) {
  return ofDevice(Call::cuDeviceGetPCIBusId, device, [&](Driver&, Device&) -> CUresult {
    if (id == nullptr || length < 13) return CUDA_ERROR_INVALID_VALUE;
    std::snprintf(id, static_cast<size_t>(length), "0000:%02X:00.0", static_cast<unsigned>(device + 1) & 255);
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuDeviceGetAttribute(int* value, int attribute, CUdevice device) {
  return ofDevice(Call::cuDeviceGetAttribute, device, [&](Driver&, Device& d) -> CUresult {
    const int found = attributeOf(d.config, attribute, device);
    if (value == nullptr || found < 0) return CUDA_ERROR_INVALID_VALUE;
    *value = found;
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuDeviceTotalMem_v2(std::size_t* bytes, CUdevice device) {
  return ofDevice(Call::cuDeviceTotalMem_v2, device, [&](Driver&, Device& d) -> CUresult {
    if (bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *bytes = d.config.totalBytes;
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  return ofDevice(Call::cuDevicePrimaryCtxRetain, device, [&](Driver& driver, Device& d) -> CUresult {
    if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (d.lost != CUDA_SUCCESS) return d.lost;
    if (d.context == 0) {
      d.context = driver.newHandle();
      const uint64_t stream = driver.newHandle();
      driver.contexts[d.context] = Context{device, 0, CUDA_SUCCESS, stream};
      driver.streams[stream].context = d.context;
    }
    driver.contexts[d.context].retained++;
    *context = handleOf<CUcontext>(d.context);
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  return ofDevice(Call::cuDevicePrimaryCtxRelease_v2, device, [&](Driver& driver, Device& d) -> CUresult {
    if (d.context == 0) return CUDA_ERROR_INVALID_CONTEXT;
    if (--driver.contexts[d.context].retained > 0) return CUDA_SUCCESS;
    const CUresult result = driver.drainContext(d.context);
    driver.destroyContext(d.context);
    return result;
  });
}

VR_EXPORT CUresult cuCtxSetCurrent(CUcontext context) {
  return enter(Call::cuCtxSetCurrent, [&](Driver& driver) -> CUresult {
    std::vector<uint64_t>& stack = currentContexts();
    const uint64_t number = numberOf(context);
    if (number != 0 && driver.contexts.count(number) == 0) return CUDA_ERROR_INVALID_CONTEXT;
    if (!stack.empty()) stack.pop_back();
    if (number != 0) stack.push_back(number);
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuCtxGetCurrent(CUcontext* context) {
  return enter(Call::cuCtxGetCurrent, [&](Driver&) -> CUresult {
    if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *context = handleOf<CUcontext>(currentContexts().empty() ? 0 : currentContexts().back());
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuCtxGetDevice(CUdevice* device) {
  return enterContext(Call::cuCtxGetDevice, [&](Driver&, uint64_t, Context& context) -> CUresult {
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *device = context.device;
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuCtxPushCurrent_v2(CUcontext context) {
  return enter(Call::cuCtxPushCurrent_v2, [&](Driver& driver) -> CUresult {
    if (driver.contexts.count(numberOf(context)) == 0) return CUDA_ERROR_INVALID_CONTEXT;
    currentContexts().push_back(numberOf(context));
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuCtxPopCurrent_v2(CUcontext* context) {
  return enter(Call::cuCtxPopCurrent_v2, [&](Driver&) -> CUresult {
    if (currentContexts().empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (context != nullptr) *context = handleOf<CUcontext>(currentContexts().back());
    currentContexts().pop_back();
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuCtxSynchronize() {
  return enterContext(Call::cuCtxSynchronize, [&](Driver& driver, uint64_t handle, Context&) -> CUresult {
    const CUresult captured = driver.refuseCaptured(handle);
    if (captured != CUDA_SUCCESS) return captured;
    noteWait(driver);
    return driver.drainContext(handle);
  });
}

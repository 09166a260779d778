// The driver library, opened at run time: there is no CUDA at compile or link time.
#ifndef VRAM_RESIDENCY_DRIVER_H
#define VRAM_RESIDENCY_DRIVER_H

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "status.h"

namespace vram {

// The functions that the addon calls; every driver from version 525 on has them.
#define VRAM_USED_FUNCTIONS(X)     \
  X(cuInit)                        \
  X(cuDriverGetVersion)            \
  X(cuGetErrorName)                \
  X(cuDeviceGetCount)              \
  X(cuDeviceGet)                   \
  X(cuDeviceGetName)               \
  X(cuDeviceGetUuid_v2)            \
  X(cuDeviceGetPCIBusId)           \
  X(cuDeviceGetAttribute)          \
  X(cuDeviceTotalMem_v2)           \
  X(cuDevicePrimaryCtxRetain)      \
  X(cuDevicePrimaryCtxRelease_v2)  \
  X(cuCtxSetCurrent)               \
  X(cuMemGetInfo_v2)               \
  X(cuMemAlloc_v2)                 \
  X(cuMemFree_v2)                  \
  X(cuMemAllocHost_v2)             \
  X(cuMemFreeHost)                 \
  X(cuMemcpyHtoDAsync_v2)          \
  X(cuMemcpyDtoHAsync_v2)          \
  X(cuMemcpyDtoDAsync_v2)          \
  X(cuMemsetD8Async)               \
  X(cuPointerGetAttribute)         \
  X(cuMemGetAllocationGranularity) \
  X(cuMemAddressReserve)           \
  X(cuMemAddressFree)              \
  X(cuMemCreate)                   \
  X(cuMemRelease)                  \
  X(cuMemMap)                      \
  X(cuMemUnmap)                    \
  X(cuMemSetAccess)                \
  X(cuMemGetAccess)                \
  X(cuMemExportToShareableHandle)  \
  X(cuMemImportFromShareableHandle) \
  X(cuStreamCreate)                \
  X(cuStreamDestroy_v2)            \
  X(cuStreamSynchronize)           \
  X(cuModuleLoadDataEx)            \
  X(cuModuleUnload)                \
  X(cuModuleGetFunction)           \
  X(cuLaunchKernel)

#define VRAM_FUNCTION_TYPE(name, parameters) using name##Function = CUresult(*) parameters;
VR_DRIVER_FUNCTIONS(VRAM_FUNCTION_TYPE)
#undef VRAM_FUNCTION_TYPE

struct Functions {
#define VRAM_FUNCTION_MEMBER(name) name##Function name = nullptr;
  VRAM_USED_FUNCTIONS(VRAM_FUNCTION_MEMBER)
#undef VRAM_FUNCTION_MEMBER
};

// One device as the driver describes it, without opening it.
struct DeviceRecord {
  int index = 0;
  std::string name;
  std::string uuid;
  std::string pciBusId;
  uint64_t totalBytes = 0;
  int major = 0;
  int minor = 0;
  bool integrated = false;
  bool managedMemory = false;
  bool eccEnabled = false;
  bool tccDriver = false;
  bool virtualMemory = false;
};

class Driver {
 public:
  // Opens the library and initialises it. An empty path means the system's driver.
  static Status load(const std::string& path, std::shared_ptr<Driver>& out);

  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  Status devices(std::vector<DeviceRecord>& out) const;
  Status attribute(int attribute, CUdevice device, int& out) const;

  // Success, or the failure with the driver's own name for it.
  Status check(CUresult result, const char* call) const;

  const Functions& fn() const { return functions_; }
  // The file of cuInit, from loadedFrom; the requested name where the kernel does not report one.
  const std::string& path() const { return path_; }
  // Every file that holds code of the driver now: those of the functions that the addon calls, and the libraries that the
  // driver has loaded, such as its PTX compiler. Empty if the kernel does not report them. See loadedFrom.
  std::vector<std::string> files() const;
  // 1000 * major + 10 * minor of the newest CUDA version that the driver supports: 12000 from driver 525 on.
  int version() const { return version_; }
  // Whether the library identifies itself as a test driver.
  bool emulated() const { return emulated_; }

 private:
  Driver() = default;
  Status describe(int index, DeviceRecord& out) const;

  Functions functions_;
  std::string path_;
  int version_ = 0;
  bool emulated_ = false;
};

// Calls a driver function and checks what it returned.
#define VRAM_CALL(driver, name, ...) (driver).check((driver).fn().name(__VA_ARGS__), #name)

}  // namespace vram

#endif

// The part of the CUDA driver API that the addon calls and the emulator answers. Written from the public documentation of
// the API so that neither needs a CUDA header to compile; names, values and layouts are those of the 64-bit driver library
// (libcuda.so.1).
#ifndef VRAM_RESIDENCY_DRIVER_API_H
#define VRAM_RESIDENCY_DRIVER_API_H

#include <cstddef>
#include <cstdint>

extern "C" {

// Handles. A device address is a plain 64-bit number.
using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUmemGenericAllocationHandle = unsigned long long;
using CUcontext = struct CUctx_st*;
using CUmodule = struct CUmod_st*;
using CUfunction = struct CUfunc_st*;
using CUstream = struct CUstream_st*;
using CUevent = struct CUevent_st*;

// Results are passed as int, so that a value that is not listed here stays a valid value.
using CUresult = int;

// X(name, value, text). The texts are the emulator's own.
#define VR_CUDA_RESULTS(X)                                                                     \
  X(CUDA_SUCCESS, 0, "no error")                                                               \
  X(CUDA_ERROR_INVALID_VALUE, 1, "invalid argument")                                           \
  X(CUDA_ERROR_OUT_OF_MEMORY, 2, "out of memory")                                              \
  X(CUDA_ERROR_NOT_INITIALIZED, 3, "cuInit was not called")                                    \
  X(CUDA_ERROR_DEINITIALIZED, 4, "the driver is shutting down")                                \
  X(CUDA_ERROR_STUB_LIBRARY, 34, "the library is a stub, not a driver")                        \
  X(CUDA_ERROR_DEVICE_UNAVAILABLE, 46, "device busy or unavailable")                           \
  X(CUDA_ERROR_NO_DEVICE, 100, "no device")                                                    \
  X(CUDA_ERROR_INVALID_DEVICE, 101, "invalid device ordinal")                                  \
  X(CUDA_ERROR_DEVICE_NOT_LICENSED, 102, "device not licensed")                                \
  X(CUDA_ERROR_INVALID_IMAGE, 200, "invalid kernel image")                                     \
  X(CUDA_ERROR_INVALID_CONTEXT, 201, "invalid context")                                        \
  X(CUDA_ERROR_MAP_FAILED, 205, "mapping failed")                                              \
  X(CUDA_ERROR_UNMAP_FAILED, 206, "unmapping failed")                                          \
  X(CUDA_ERROR_ALREADY_MAPPED, 208, "already mapped")                                          \
  X(CUDA_ERROR_NO_BINARY_FOR_GPU, 209, "no kernel image for this device")                      \
  X(CUDA_ERROR_NOT_MAPPED, 211, "not mapped")                                                  \
  X(CUDA_ERROR_ECC_UNCORRECTABLE, 214, "uncorrectable ECC error")                              \
  X(CUDA_ERROR_INVALID_PTX, 218, "PTX could not be compiled")                                  \
  X(CUDA_ERROR_NVLINK_UNCORRECTABLE, 220, "uncorrectable NVLink error")                        \
  X(CUDA_ERROR_JIT_COMPILER_NOT_FOUND, 221, "PTX compiler library not found")                  \
  X(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, 222, "PTX version too new for this driver")            \
  X(CUDA_ERROR_JIT_COMPILATION_DISABLED, 223, "PTX compilation is disabled")                   \
  X(CUDA_ERROR_CONTAINED, 226, "contained memory error")                                       \
  X(CUDA_ERROR_INVALID_SOURCE, 300, "invalid kernel source")                                   \
  X(CUDA_ERROR_FILE_NOT_FOUND, 301, "file not found")                                          \
  X(CUDA_ERROR_OPERATING_SYSTEM, 304, "operating system call failed")                          \
  X(CUDA_ERROR_INVALID_HANDLE, 400, "invalid handle")                                          \
  X(CUDA_ERROR_ILLEGAL_STATE, 401, "illegal state")                                            \
  X(CUDA_ERROR_NOT_FOUND, 500, "name not found")                                               \
  X(CUDA_ERROR_NOT_READY, 600, "work not finished")                                            \
  X(CUDA_ERROR_ILLEGAL_ADDRESS, 700, "illegal memory access")                                  \
  X(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, 701, "too many resources asked for launch")            \
  X(CUDA_ERROR_LAUNCH_TIMEOUT, 702, "launch timed out")                                        \
  X(CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE, 708, "primary context is active")                       \
  X(CUDA_ERROR_CONTEXT_IS_DESTROYED, 709, "context is destroyed")                              \
  X(CUDA_ERROR_ASSERT, 710, "device-side assertion")                                           \
  X(CUDA_ERROR_HARDWARE_STACK_ERROR, 714, "hardware stack error")                              \
  X(CUDA_ERROR_ILLEGAL_INSTRUCTION, 715, "illegal instruction")                                \
  X(CUDA_ERROR_MISALIGNED_ADDRESS, 716, "misaligned address")                                  \
  X(CUDA_ERROR_INVALID_ADDRESS_SPACE, 717, "operation not supported on this address space")    \
  X(CUDA_ERROR_INVALID_PC, 718, "invalid program counter")                                     \
  X(CUDA_ERROR_LAUNCH_FAILED, 719, "launch failed")                                            \
  X(CUDA_ERROR_NOT_PERMITTED, 800, "operation not permitted")                                  \
  X(CUDA_ERROR_NOT_SUPPORTED, 801, "operation not supported")                                  \
  X(CUDA_ERROR_SYSTEM_NOT_READY, 802, "system not ready")                                      \
  X(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, 803, "driver and kernel module do not match")           \
  X(CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, 804, "forward compatibility not supported")     \
  X(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, 900, "operation not permitted while a stream is captured") \
  X(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, 901, "the capture was invalidated by an earlier error") \
  X(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, 903, "the capture was not begun in this stream")      \
  X(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, 905, "a captured stream may not wait for work outside") \
  X(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, 906, "the legacy stream would wait for a captured stream") \
  X(CUDA_ERROR_CAPTURED_EVENT, 907, "the event was last recorded in a captured stream")        \
  X(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, 908, "the capture was begun by another thread")    \
  X(CUDA_ERROR_EXTERNAL_DEVICE, 911, "error on an external device")                            \
  X(CUDA_ERROR_UNKNOWN, 999, "unknown error")

#define VR_CUDA_RESULT_CONSTANT(name, value, text) constexpr CUresult name = value;
VR_CUDA_RESULTS(VR_CUDA_RESULT_CONSTANT)
#undef VR_CUDA_RESULT_CONSTANT

// CUdevice_attribute
constexpr int CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK = 1;
constexpr int CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X = 2;
constexpr int CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y = 3;
constexpr int CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z = 4;
constexpr int CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X = 5;
constexpr int CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y = 6;
constexpr int CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z = 7;
constexpr int CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK = 8;
constexpr int CU_DEVICE_ATTRIBUTE_WARP_SIZE = 10;
constexpr int CU_DEVICE_ATTRIBUTE_CLOCK_RATE = 13;
constexpr int CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16;
constexpr int CU_DEVICE_ATTRIBUTE_INTEGRATED = 18;
constexpr int CU_DEVICE_ATTRIBUTE_COMPUTE_MODE = 20;
constexpr int CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS = 31;
constexpr int CU_DEVICE_ATTRIBUTE_ECC_ENABLED = 32;
constexpr int CU_DEVICE_ATTRIBUTE_PCI_BUS_ID = 33;
constexpr int CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID = 34;
constexpr int CU_DEVICE_ATTRIBUTE_TCC_DRIVER = 35;
constexpr int CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE = 36;
constexpr int CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH = 37;
constexpr int CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE = 38;
constexpr int CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT = 40;
constexpr int CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING = 41;
constexpr int CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID = 50;
constexpr int CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75;
constexpr int CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76;
constexpr int CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY = 83;
constexpr int CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS = 88;
constexpr int CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS = 89;
constexpr int CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES = 100;
constexpr int CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED = 102;
constexpr int CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED = 103;

// CUpointer_attribute and its values
constexpr int CU_POINTER_ATTRIBUTE_CONTEXT = 1;
constexpr int CU_POINTER_ATTRIBUTE_MEMORY_TYPE = 2;
constexpr int CU_POINTER_ATTRIBUTE_DEVICE_POINTER = 3;
constexpr int CU_POINTER_ATTRIBUTE_HOST_POINTER = 4;
constexpr int CU_POINTER_ATTRIBUTE_IS_MANAGED = 8;
constexpr int CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9;
constexpr int CU_POINTER_ATTRIBUTE_RANGE_START_ADDR = 11;
constexpr int CU_POINTER_ATTRIBUTE_RANGE_SIZE = 12;
constexpr int CU_POINTER_ATTRIBUTE_MAPPED = 13;
constexpr int CU_POINTER_ATTRIBUTE_ACCESS_FLAGS = 16;

constexpr unsigned CU_MEMORYTYPE_HOST = 1;
constexpr unsigned CU_MEMORYTYPE_DEVICE = 2;
constexpr unsigned CU_MEMORYTYPE_ARRAY = 3;
constexpr unsigned CU_MEMORYTYPE_UNIFIED = 4;

// CUfunction_attribute
constexpr int CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK = 0;
constexpr int CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES = 1;
constexpr int CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES = 2;
constexpr int CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES = 3;
constexpr int CU_FUNC_ATTRIBUTE_NUM_REGS = 4;
constexpr int CU_FUNC_ATTRIBUTE_PTX_VERSION = 5;
constexpr int CU_FUNC_ATTRIBUTE_BINARY_VERSION = 6;

// Virtual memory management
constexpr int CU_MEM_ALLOCATION_TYPE_PINNED = 1;
constexpr int CU_MEM_HANDLE_TYPE_NONE = 0;
constexpr int CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR = 1;
constexpr int CU_MEM_LOCATION_TYPE_DEVICE = 1;
constexpr int CU_MEM_ALLOC_GRANULARITY_MINIMUM = 0;
constexpr int CU_MEM_ALLOC_GRANULARITY_RECOMMENDED = 1;
constexpr int CU_MEM_ACCESS_FLAGS_PROT_NONE = 0;
constexpr int CU_MEM_ACCESS_FLAGS_PROT_READ = 1;
constexpr int CU_MEM_ACCESS_FLAGS_PROT_READWRITE = 3;

// Streams, events, pinned memory
constexpr unsigned CU_STREAM_DEFAULT = 0;
constexpr unsigned CU_STREAM_NON_BLOCKING = 1;
constexpr unsigned CU_EVENT_DEFAULT = 0;
constexpr unsigned CU_EVENT_BLOCKING_SYNC = 1;
constexpr unsigned CU_EVENT_DISABLE_TIMING = 2;
constexpr unsigned CU_EVENT_WAIT_DEFAULT = 0;
constexpr unsigned CU_MEMHOSTALLOC_PORTABLE = 1;
constexpr unsigned CU_MEMHOSTALLOC_DEVICEMAP = 2;
constexpr unsigned CU_MEMHOSTALLOC_WRITECOMBINED = 4;

// CUjit_option. An option's value is passed in the pointer itself, or is the buffer's address.
constexpr int CU_JIT_MAX_REGISTERS = 0;
constexpr int CU_JIT_INFO_LOG_BUFFER = 3;
constexpr int CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES = 4;
constexpr int CU_JIT_ERROR_LOG_BUFFER = 5;
constexpr int CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6;
constexpr int CU_JIT_OPTIMIZATION_LEVEL = 7;

struct CUuuid {
  unsigned char bytes[16];
};

struct CUmemLocation {
  int type;  // CU_MEM_LOCATION_TYPE_*
  int id;    // device ordinal
};

struct CUmemAllocationProp {
  int type;                  // CU_MEM_ALLOCATION_TYPE_*
  int requestedHandleTypes;  // CU_MEM_HANDLE_TYPE_*
  CUmemLocation location;
  void* win32HandleMetaData;
  struct {
    unsigned char compressionType;
    unsigned char gpuDirectRDMACapable;
    unsigned short usage;
    unsigned char reserved[4];
  } allocFlags;
};

struct CUmemAccessDesc {
  CUmemLocation location;
  int flags;  // CU_MEM_ACCESS_FLAGS_*
};

}  // extern "C"

static_assert(sizeof(void*) == 8, "only the 64-bit driver library is described here");
static_assert(sizeof(CUuuid) == 16, "layout of CUuuid");
static_assert(sizeof(CUmemLocation) == 8, "layout of CUmemLocation");
static_assert(sizeof(CUmemAllocationProp) == 32, "layout of CUmemAllocationProp");
static_assert(sizeof(CUmemAccessDesc) == 12, "layout of CUmemAccessDesc");

// X(exported symbol, parameters): every driver function that the addon looks up. All return CUresult.
#define VR_DRIVER_FUNCTIONS(X)                                                                                         \
  X(cuInit, (unsigned flags))                                                                                          \
  X(cuDriverGetVersion, (int* version))                                                                                \
  X(cuGetErrorName, (CUresult error, const char** name))                                                               \
  X(cuGetErrorString, (CUresult error, const char** text))                                                             \
  X(cuDeviceGetCount, (int* count))                                                                                    \
  X(cuDeviceGet, (CUdevice * device, int ordinal))                                                                     \
  X(cuDeviceGetName, (char* name, int length, CUdevice device))                                                        \
  X(cuDeviceGetUuid, (CUuuid * uuid, CUdevice device))                                                                 \
  X(cuDeviceGetUuid_v2, (CUuuid * uuid, CUdevice device))                                                              \
  X(cuDeviceGetPCIBusId, (char* id, int length, CUdevice device))                                                      \
  X(cuDeviceGetAttribute, (int* value, int attribute, CUdevice device))                                                \
  X(cuDeviceTotalMem_v2, (std::size_t * bytes, CUdevice device))                                                       \
  X(cuDevicePrimaryCtxRetain, (CUcontext * context, CUdevice device))                                                  \
  X(cuDevicePrimaryCtxRelease_v2, (CUdevice device))                                                                   \
  X(cuCtxSetCurrent, (CUcontext context))                                                                              \
  X(cuCtxGetCurrent, (CUcontext * context))                                                                            \
  X(cuCtxPushCurrent_v2, (CUcontext context))                                                                          \
  X(cuCtxPopCurrent_v2, (CUcontext * context))                                                                         \
  X(cuCtxSynchronize, ())                                                                                              \
  X(cuMemGetInfo_v2, (std::size_t * free, std::size_t * total))                                                        \
  X(cuMemAlloc_v2, (CUdeviceptr * address, std::size_t bytes))                                                         \
  X(cuMemFree_v2, (CUdeviceptr address))                                                                               \
  X(cuMemAllocHost_v2, (void** memory, std::size_t bytes))                                                             \
  X(cuMemFreeHost, (void* memory))                                                                                     \
  X(cuMemHostAlloc, (void** memory, std::size_t bytes, unsigned flags))                                                \
  X(cuMemcpyHtoDAsync_v2, (CUdeviceptr to, const void* from, std::size_t bytes, CUstream stream))                      \
  X(cuMemcpyDtoHAsync_v2, (void* to, CUdeviceptr from, std::size_t bytes, CUstream stream))                            \
  X(cuMemcpyHtoD_v2, (CUdeviceptr to, const void* from, std::size_t bytes))                                            \
  X(cuMemcpyDtoH_v2, (void* to, CUdeviceptr from, std::size_t bytes))                                                  \
  X(cuMemcpyDtoDAsync_v2, (CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream))                      \
  X(cuMemsetD8Async, (CUdeviceptr to, unsigned char value, std::size_t count, CUstream stream))                        \
  X(cuMemsetD32Async, (CUdeviceptr to, unsigned value, std::size_t count, CUstream stream))                            \
  X(cuPointerGetAttribute, (void* value, int attribute, CUdeviceptr address))                                          \
  X(cuPointerGetAttributes, (unsigned count, int* attributes, void** values, CUdeviceptr address))                     \
  X(cuMemGetAllocationGranularity, (std::size_t * bytes, const CUmemAllocationProp* properties, int option))           \
  X(cuMemAddressReserve,                                                                                               \
    (CUdeviceptr * address, std::size_t bytes, std::size_t alignment, CUdeviceptr wanted, unsigned long long flags))   \
  X(cuMemAddressFree, (CUdeviceptr address, std::size_t bytes))                                                        \
  X(cuMemCreate, (CUmemGenericAllocationHandle * handle, std::size_t bytes, const CUmemAllocationProp* properties,     \
                  unsigned long long flags))                                                                           \
  X(cuMemRelease, (CUmemGenericAllocationHandle handle))                                                               \
  X(cuMemMap, (CUdeviceptr address, std::size_t bytes, std::size_t offset, CUmemGenericAllocationHandle handle,        \
               unsigned long long flags))                                                                              \
  X(cuMemUnmap, (CUdeviceptr address, std::size_t bytes))                                                              \
  X(cuMemSetAccess, (CUdeviceptr address, std::size_t bytes, const CUmemAccessDesc* access, std::size_t count))        \
  X(cuMemGetAccess, (unsigned long long* flags, const CUmemLocation* location, CUdeviceptr address))                   \
  X(cuMemExportToShareableHandle,                                                                                      \
    (void* shareable, CUmemGenericAllocationHandle handle, int handleType, unsigned long long flags))                  \
  X(cuMemImportFromShareableHandle, (CUmemGenericAllocationHandle * handle, void* shareable, int handleType))          \
  X(cuStreamCreate, (CUstream * stream, unsigned flags))                                                               \
  X(cuStreamDestroy_v2, (CUstream stream))                                                                             \
  X(cuStreamSynchronize, (CUstream stream))                                                                            \
  X(cuStreamQuery, (CUstream stream))                                                                                  \
  X(cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned flags))                                               \
  X(cuEventCreate, (CUevent * event, unsigned flags))                                                                  \
  X(cuEventDestroy_v2, (CUevent event))                                                                                \
  X(cuEventRecord, (CUevent event, CUstream stream))                                                                   \
  X(cuEventSynchronize, (CUevent event))                                                                               \
  X(cuEventQuery, (CUevent event))                                                                                     \
  X(cuModuleLoadDataEx, (CUmodule * module, const void* image, unsigned count, int* options, void** values))           \
  X(cuModuleLoadData, (CUmodule * module, const void* image))                                                          \
  X(cuModuleUnload, (CUmodule module))                                                                                 \
  X(cuModuleGetFunction, (CUfunction * function, CUmodule module, const char* name))                                   \
  X(cuFuncGetAttribute, (int* value, int attribute, CUfunction function))                                              \
  X(cuLaunchKernel, (CUfunction function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX,             \
                     unsigned blockY, unsigned blockZ, unsigned sharedBytes, CUstream stream, void** parameters,       \
                     void** extra))

#endif

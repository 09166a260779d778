// The emulated functions: those that the addon calls, and those that only other programs call (clients/python, the
// hardware kit).
#ifndef VRAM_RESIDENCY_EMULATOR_EMULATED_API_H
#define VRAM_RESIDENCY_EMULATOR_EMULATED_API_H

#include "../driver_api.h"

extern "C" {

using CUgraph = struct CUgraph_st*;

// CUstreamCaptureMode
constexpr int CU_STREAM_CAPTURE_MODE_GLOBAL = 0;
constexpr int CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1;
constexpr int CU_STREAM_CAPTURE_MODE_RELAXED = 2;

// CUstreamCaptureStatus
constexpr int CU_STREAM_CAPTURE_STATUS_NONE = 0;
constexpr int CU_STREAM_CAPTURE_STATUS_ACTIVE = 1;
constexpr int CU_STREAM_CAPTURE_STATUS_INVALIDATED = 2;

}  // extern "C"

#define VR_OTHER_FUNCTIONS(X)                                                          \
  X(cuCtxGetDevice, (CUdevice * device))                                               \
  X(cuMemGetAddressRange_v2, (CUdeviceptr * base, std::size_t * bytes, CUdeviceptr at)) \
  X(cuEventElapsedTime, (float* milliseconds, CUevent from, CUevent to))               \
  X(cuThreadExchangeStreamCaptureMode, (int* mode))                                    \
  X(cuStreamIsCapturing, (CUstream stream, int* status))                               \
  X(cuStreamBeginCapture_v2, (CUstream stream, int mode))                              \
  X(cuStreamEndCapture, (CUstream stream, CUgraph * graph))                            \
  X(cuGraphGetNodes, (CUgraph graph, void** nodes, std::size_t* count))                \
  X(cuGraphDestroy, (CUgraph graph))

#define VR_EMULATED_FUNCTIONS(X) \
  VR_DRIVER_FUNCTIONS(X)         \
  VR_OTHER_FUNCTIONS(X)

#endif

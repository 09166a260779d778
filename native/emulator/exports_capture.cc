// Stream capture, for programs that must not disturb one: which calls conflict with a capture and what they do to it.
// Emulated: the three modes of a capture and of a thread, streams that join a capture by an event, the legacy stream beside
// a captured blocking stream, waits on captured streams, events and contexts. Not emulated: running a graph, dependencies
// within it, unjoined streams.
#include "call.h"

using namespace emulator;

bool Driver::legacyConflict(uint64_t context) const {
  for (const auto& entry : streams)
    if (entry.second.context == context && entry.second.blocking && entry.second.capture != 0) return true;
  return false;
}

CUresult Driver::streamOf(uint64_t context, CUstream stream, uint64_t& number) {
  if (stream == nullptr) {
    CUresult refused = CUDA_SUCCESS;
    for (const auto& entry : streams)
      if (entry.second.context == context && entry.second.blocking && entry.second.capture != 0)
        refused = invalidate(entry.second.capture, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    number = contexts[context].defaultStream;
    return refused;
  }
  const auto found = streams.find(numberOf(stream));
  if (found == streams.end() || found->second.context != context) return CUDA_ERROR_INVALID_HANDLE;
  number = found->first;
  return CUDA_SUCCESS;
}

CUresult Driver::invalidate(uint64_t capture, CUresult why) {
  captures[capture].invalidated = true;
  return why;
}

CUresult Driver::refuseUnsafe() {
  CUresult refused = CUDA_SUCCESS;
  if (captureMode() == CU_STREAM_CAPTURE_MODE_RELAXED) return refused;
  for (const auto& [number, capture] : captures) {
    const bool own = capture.thread == std::this_thread::get_id() && capture.mode != CU_STREAM_CAPTURE_MODE_RELAXED;
    const bool others = captureMode() == CU_STREAM_CAPTURE_MODE_GLOBAL && capture.mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
    if (own || others) refused = invalidate(number, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  }
  return refused;
}

CUresult Driver::refuseCaptured(uint64_t context) {
  CUresult refused = CUDA_SUCCESS;
  for (const auto& [number, capture] : captures)
    if (capture.context == context) refused = invalidate(number, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  return refused;
}

VR_EXPORT CUresult cuThreadExchangeStreamCaptureMode(int* mode) {
  return enter(Call::cuThreadExchangeStreamCaptureMode, [&](Driver&) -> CUresult {
    if (mode == nullptr || *mode < CU_STREAM_CAPTURE_MODE_GLOBAL || *mode > CU_STREAM_CAPTURE_MODE_RELAXED)
      return CUDA_ERROR_INVALID_VALUE;
    std::swap(*mode, captureMode());
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuStreamIsCapturing(CUstream stream, int* status) {
  return enterContext(Call::cuStreamIsCapturing, [&](Driver& driver, uint64_t handle, Context& context) -> CUresult {
    if (status == nullptr) return CUDA_ERROR_INVALID_VALUE;
    // Querying the legacy stream does not disturb a capture; using it does.
    if (stream == nullptr && driver.legacyConflict(handle)) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    const auto found = driver.streams.find(stream == nullptr ? context.defaultStream : numberOf(stream));
    if (found == driver.streams.end() || found->second.context != handle) return CUDA_ERROR_INVALID_HANDLE;
    const uint64_t capture = found->second.capture;
    *status = capture == 0                            ? CU_STREAM_CAPTURE_STATUS_NONE
              : driver.captures[capture].invalidated ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                                     : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
  return enterContext(Call::cuStreamBeginCapture_v2, [&](Driver& driver, uint64_t handle, Context&) -> CUresult {
    if (mode < CU_STREAM_CAPTURE_MODE_GLOBAL || mode > CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_ERROR_INVALID_VALUE;
    if (stream == nullptr) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    const auto found = driver.streams.find(numberOf(stream));
    if (found == driver.streams.end() || found->second.context != handle) return CUDA_ERROR_INVALID_HANDLE;
    if (found->second.capture != 0) return CUDA_ERROR_ILLEGAL_STATE;
    const uint64_t number = driver.newHandle();
    Capture capture;
    capture.context = handle;
    capture.origin = found->first;
    capture.mode = mode;
    capture.thread = std::this_thread::get_id();
    driver.captures[number] = capture;
    found->second.capture = number;
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuStreamEndCapture(CUstream stream, CUgraph* graph) {
  return enterContext(Call::cuStreamEndCapture, [&](Driver& driver, uint64_t handle, Context&) -> CUresult {
    if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *graph = nullptr;
    const auto found = driver.streams.find(numberOf(stream));
    if (found == driver.streams.end() || found->second.context != handle) return CUDA_ERROR_INVALID_HANDLE;
    const uint64_t number = found->second.capture;
    if (number == 0) return CUDA_ERROR_ILLEGAL_STATE;
    const Capture capture = driver.captures[number];
    if (capture.origin != found->first) return driver.invalidate(number, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    if (capture.mode != CU_STREAM_CAPTURE_MODE_RELAXED && capture.thread != std::this_thread::get_id())
      return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    for (auto& entry : driver.streams)
      if (entry.second.capture == number) entry.second.capture = 0;
    driver.captures.erase(number);
    if (capture.invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    const uint64_t made = driver.newHandle();
    driver.graphs[made] = capture.nodes;
    *graph = handleOf<CUgraph>(made);
    return CUDA_SUCCESS;
  });
}

// Only the number of nodes: `nodes` must be null.
VR_EXPORT CUresult cuGraphGetNodes(CUgraph graph, void** nodes, std::size_t* count) {
  return enter(Call::cuGraphGetNodes, [&](Driver& driver) -> CUresult {
    const auto found = driver.graphs.find(numberOf(graph));
    if (found == driver.graphs.end() || nodes != nullptr || count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *count = found->second;
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuGraphDestroy(CUgraph graph) {
  return enter(Call::cuGraphDestroy, [&](Driver& driver) -> CUresult {
    return driver.graphs.erase(numberOf(graph)) > 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

#include <cstring>

#include "call.h"

using namespace emulator;

namespace {

bool isPinned(const Driver& driver, const void* host, size_t bytes) {
  const uint8_t* at = static_cast<const uint8_t*>(host);
  auto after = driver.pinned.upper_bound(at);
  if (after == driver.pinned.begin()) return false;
  const auto& [begin, pinned] = *std::prev(after);
  const size_t from = static_cast<size_t>(at - begin);
  return from <= pinned.pages->size() && bytes <= pinned.pages->size() - from;
}

Outcome denied(const char* what) { return Outcome{CUDA_ERROR_ILLEGAL_ADDRESS, what}; }

// Device bytes for work that runs now; access is checked now, not when the work was queued.
uint8_t* reach(CUdeviceptr address, size_t bytes, bool write, Outcome& outcome) {
  Mapping* mapping = Driver::instance().range(address, bytes);
  if (mapping == nullptr) outcome = denied("copy or fill outside every allocation");
  else if (!(write ? mapping->writable : mapping->readable))
    outcome = denied(write ? "write to memory without write access" : "read from memory without read access");
  else return mapping->physical->pages.data() + mapping->offset + (address - mapping->begin);
  return nullptr;
}

Outcome copyIn(CUdeviceptr to, const void* from, size_t bytes) {
  Outcome outcome;
  uint8_t* at = reach(to, bytes, true, outcome);
  if (at != nullptr) std::memcpy(at, from, bytes);
  return outcome;
}

Outcome copyOut(void* to, CUdeviceptr from, size_t bytes) {
  Outcome outcome;
  const uint8_t* at = reach(from, bytes, false, outcome);
  if (at == nullptr) return outcome;
  std::memcpy(to, at, bytes);
  Driver::instance().bytesToHost += bytes;
  return outcome;
}

// A copy in a stream. Pinned memory is touched when the stream gets there; pageable memory by the call itself, as the real
// driver does.
CUresult copyAsync(Call which, CUdeviceptr device, const void* host, size_t bytes, CUstream stream,
                   std::function<Outcome()> copy) {
  return enterContext(which, [&](Driver& driver, uint64_t handle, Context&) -> CUresult {
    uint64_t number = 0;
    const CUresult found = driver.streamOf(handle, stream, number);
    if (found != CUDA_SUCCESS) return found;
    if (bytes == 0) return CUDA_SUCCESS;
    if (host == nullptr || driver.range(device, bytes) == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const bool pinned = isPinned(driver, host, bytes);
    Work work;
    work.copy = true;
    work.host = pinned ? static_cast<const uint8_t*>(host) : nullptr;
    work.hostBytes = bytes;
    work.device = device;
    work.run = std::move(copy);
    // Nothing orders the copies of two streams. Of two that touch the same bytes the later one runs first here, which
    // exposes code that relies on an order.
    const bool disordered = pinned && driver.isCopied(number, device, bytes);
    driver.enqueue(number, std::move(work));
    if (disordered) return driver.drain(number, UINT64_MAX);
    if (pinned) return CUDA_SUCCESS;
    noteWait(driver);
    return driver.drain(number, UINT64_MAX);
  });
}

CUresult copyNow(Call which, CUdeviceptr device, const void* host, size_t bytes, const std::function<Outcome()>& copy) {
  return enterContext(which, [&](Driver& driver, uint64_t handle, Context& context) -> CUresult {
    if (bytes == 0) return CUDA_SUCCESS;
    if (host == nullptr || driver.range(device, bytes) == nullptr) return CUDA_ERROR_INVALID_VALUE;
    uint64_t legacy = 0;
    const CUresult refused = driver.streamOf(handle, nullptr, legacy);
    if (refused != CUDA_SUCCESS) return refused;
    noteWait(driver);
    const CUresult before = driver.drainBlocking(handle);
    if (before != CUDA_SUCCESS) return before;
    Work work;
    work.run = copy;
    driver.enqueue(context.defaultStream, std::move(work));
    return driver.drain(context.defaultStream, UINT64_MAX);
  });
}

CUresult fillAsync(Call which, CUdeviceptr to, size_t unit, size_t count, uint32_t value, CUstream stream) {
  return enterContext(which, [&](Driver& driver, uint64_t handle, Context&) -> CUresult {
    uint64_t number = 0;
    const CUresult found = driver.streamOf(handle, stream, number);
    if (found != CUDA_SUCCESS) return found;
    if (count == 0) return CUDA_SUCCESS;
    if (to % unit != 0 || count > SIZE_MAX / unit || driver.range(to, count * unit) == nullptr)
      return CUDA_ERROR_INVALID_VALUE;
    Work work;
    work.run = [=] {
      Outcome outcome;
      uint8_t* at = reach(to, count * unit, true, outcome);
      if (at == nullptr) return outcome;
      if (unit == 1) std::memset(at, static_cast<int>(value), count);
      else for (size_t k = 0; k < count; k++) std::memcpy(at + 4 * k, &value, 4);
      return outcome;
    };
    driver.enqueue(number, std::move(work));
    return CUDA_SUCCESS;
  });
}

CUresult copyWithin(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return enterContext(Call::cuMemcpyDtoDAsync_v2, [&](Driver& driver, uint64_t handle, Context&) -> CUresult {
    uint64_t number = 0;
    const CUresult found = driver.streamOf(handle, stream, number);
    if (found != CUDA_SUCCESS) return found;
    if (bytes == 0) return CUDA_SUCCESS;
    if (driver.range(to, bytes) == nullptr || driver.range(from, bytes) == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Work work;
    work.copy = true;
    work.run = [=] {
      Outcome outcome;
      const uint8_t* source = reach(from, bytes, false, outcome);
      if (source == nullptr) return outcome;
      uint8_t* target = reach(to, bytes, true, outcome);
      if (target != nullptr) std::memmove(target, source, bytes);
      return outcome;
    };
    driver.enqueue(number, std::move(work));
    return CUDA_SUCCESS;
  });
}

// Work that waits for what the blocking streams hold now, each up to its last piece.
void waitForBlocking(Driver& driver, uint64_t context, uint64_t defaultStream) {
  for (const auto& [number, stream] : driver.streams) {
    if (stream.context != context || !stream.blocking || number == defaultStream || stream.queue.empty()) continue;
    Work work;
    const uint64_t last = stream.next - 1;
    work.run = [number = number, last] { return Outcome{Driver::instance().drain(number, last), "in a stream waited for"}; };
    driver.enqueue(defaultStream, std::move(work));
  }
}

// Records when the stream reaches the event.
Work stamp(uint64_t event) {
  Work work;
  work.run = [event] {
    const auto found = Driver::instance().events.find(event);
    if (found != Driver::instance().events.end()) {
      found->second.reached = true;
      found->second.at = std::chrono::steady_clock::now();
    }
    return Outcome{};
  };
  return work;
}

// Work is executed when a caller waits for it. A query reports it unfinished once, and finished the next time.
template <typename T>
CUresult query(Driver& driver, T& object, uint64_t stream, uint64_t number) {
  const auto found = driver.streams.find(stream);
  const bool pending =
      found != driver.streams.end() && !found->second.queue.empty() && found->second.queue.front().number <= number;
  if (!pending) return CUDA_SUCCESS;
  if (!object.polled) {
    object.polled = true;
    return CUDA_ERROR_NOT_READY;
  }
  object.polled = false;
  return driver.drain(stream, number);
}

}  // namespace

VR_EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, std::size_t bytes, CUstream stream) {
  return copyAsync(Call::cuMemcpyHtoDAsync_v2, to, from, bytes, stream, [=] { return copyIn(to, from, bytes); });
}
VR_EXPORT CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return copyAsync(Call::cuMemcpyDtoHAsync_v2, from, to, bytes, stream, [=] { return copyOut(to, from, bytes); });
}
VR_EXPORT CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, std::size_t bytes) {
  return copyNow(Call::cuMemcpyHtoD_v2, to, from, bytes, [=] { return copyIn(to, from, bytes); });
}
VR_EXPORT CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, std::size_t bytes) {
  return copyNow(Call::cuMemcpyDtoH_v2, from, to, bytes, [=] { return copyOut(to, from, bytes); });
}
VR_EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return copyWithin(to, from, bytes, stream);
}
VR_EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, std::size_t count, CUstream stream) {
  return fillAsync(Call::cuMemsetD8Async, to, 1, count, value, stream);
}
VR_EXPORT CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, std::size_t count, CUstream stream) {
  return fillAsync(Call::cuMemsetD32Async, to, 4, count, value, stream);
}

VR_EXPORT CUresult cuStreamCreate(CUstream* stream, unsigned flags) {
  return enterContext(Call::cuStreamCreate, [&](Driver& driver, uint64_t handle, Context&) -> CUresult {
    if (stream == nullptr || flags > CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
    const uint64_t number = driver.newHandle();
    driver.streams[number].context = handle;
    driver.streams[number].blocking = flags == CU_STREAM_DEFAULT;
    *stream = handleOf<CUstream>(number);
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuStreamDestroy_v2(CUstream stream) {
  return enterContext(Call::cuStreamDestroy_v2, [&](Driver& driver, uint64_t handle, Context&) -> CUresult {
    uint64_t number = 0;
    if (stream == nullptr || driver.streamOf(handle, stream, number) != CUDA_SUCCESS) return CUDA_ERROR_INVALID_HANDLE;
    const CUresult result = driver.drain(number, UINT64_MAX);
    driver.streams.erase(number);
    return result;
  });
}

VR_EXPORT CUresult cuStreamSynchronize(CUstream stream) {
  return enterContext(Call::cuStreamSynchronize, [&](Driver& driver, uint64_t handle, Context&) -> CUresult {
    uint64_t number = 0;
    const CUresult found = driver.streamOf(handle, stream, number);
    if (found != CUDA_SUCCESS) return found;
    const uint64_t capture = driver.streams[number].capture;
    if (capture != 0) return driver.invalidate(capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    noteWait(driver);
    if (stream == nullptr) {
      const CUresult before = driver.drainBlocking(handle);
      if (before != CUDA_SUCCESS) return before;
    }
    return driver.drain(number, UINT64_MAX);
  });
}

VR_EXPORT CUresult cuStreamQuery(CUstream stream) {
  return enterContext(Call::cuStreamQuery, [&](Driver& driver, uint64_t handle, Context&) -> CUresult {
    uint64_t number = 0;
    const CUresult found = driver.streamOf(handle, stream, number);
    if (found != CUDA_SUCCESS) return found;
    const uint64_t capture = driver.streams[number].capture;
    if (capture != 0) return driver.invalidate(capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    return query(driver, driver.streams[number], number, UINT64_MAX);
  });
}

VR_EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  return enterContext(Call::cuStreamWaitEvent, [&](Driver& driver, uint64_t handle, Context&) -> CUresult {
    uint64_t number = 0;
    const CUresult refused = driver.streamOf(handle, stream, number);
    if (refused != CUDA_SUCCESS) return refused;
    const auto found = driver.events.find(numberOf(event));
    if (found == driver.events.end()) return CUDA_ERROR_INVALID_HANDLE;
    if (flags != CU_EVENT_WAIT_DEFAULT) return CUDA_ERROR_INVALID_VALUE;
    const Event awaited = found->second;
    uint64_t& capture = driver.streams[number].capture;
    if (awaited.capture != 0) {  // the stream joins the capture
      capture = awaited.capture;
      return CUDA_SUCCESS;
    }
    if (capture != 0) return driver.invalidate(capture, CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    if (awaited.number == 0) return CUDA_SUCCESS;
    Work work;
    work.run = [awaited] {
      return Outcome{Driver::instance().drain(awaited.stream, awaited.number), "in a stream waited for"};
    };
    driver.enqueue(number, std::move(work));
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuEventCreate(CUevent* event, unsigned flags) {
  return enterContext(Call::cuEventCreate, [&](Driver& driver, uint64_t handle, Context&) -> CUresult {
    if (event == nullptr || flags > 7) return CUDA_ERROR_INVALID_VALUE;
    const uint64_t number = driver.newHandle();
    driver.events[number].context = handle;
    driver.events[number].timed = (flags & CU_EVENT_DISABLE_TIMING) == 0;
    *event = handleOf<CUevent>(number);
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuEventDestroy_v2(CUevent event) {
  return enterContext(Call::cuEventDestroy_v2, [&](Driver& driver, uint64_t, Context&) -> CUresult {
    return driver.events.erase(numberOf(event)) > 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  });
}

VR_EXPORT CUresult cuEventRecord(CUevent event, CUstream stream) {
  return enterContext(Call::cuEventRecord, [&](Driver& driver, uint64_t handle, Context&) -> CUresult {
    uint64_t number = 0;
    const CUresult refused = driver.streamOf(handle, stream, number);
    if (refused != CUDA_SUCCESS) return refused;
    const auto found = driver.events.find(numberOf(event));
    if (found == driver.events.end()) return CUDA_ERROR_INVALID_HANDLE;
    Event& e = found->second;
    e.stream = number;
    e.polled = false;
    e.capture = driver.streams[number].capture;
    if (e.capture != 0) return CUDA_SUCCESS;
    // The legacy stream reaches it after the work of all blocking streams.
    if (stream == nullptr) waitForBlocking(driver, handle, number);
    e.reached = driver.streams[number].queue.empty();
    e.at = std::chrono::steady_clock::now();
    if (!e.reached && e.timed) driver.enqueue(number, stamp(numberOf(event)));
    e.number = driver.streams[number].next - 1;
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuEventSynchronize(CUevent event) {
  return enterContext(Call::cuEventSynchronize, [&](Driver& driver, uint64_t, Context&) -> CUresult {
    const auto found = driver.events.find(numberOf(event));
    if (found == driver.events.end()) return CUDA_ERROR_INVALID_HANDLE;
    if (found->second.capture != 0) return driver.invalidate(found->second.capture, CUDA_ERROR_CAPTURED_EVENT);
    noteWait(driver);
    return driver.drain(found->second.stream, found->second.number);
  });
}

VR_EXPORT CUresult cuEventQuery(CUevent event) {
  return enterContext(Call::cuEventQuery, [&](Driver& driver, uint64_t, Context&) -> CUresult {
    const auto found = driver.events.find(numberOf(event));
    if (found == driver.events.end()) return CUDA_ERROR_INVALID_HANDLE;
    if (found->second.capture != 0) return driver.invalidate(found->second.capture, CUDA_ERROR_CAPTURED_EVENT);
    return query(driver, found->second, found->second.stream, found->second.number);
  });
}

VR_EXPORT CUresult cuEventElapsedTime(float* milliseconds, CUevent from, CUevent to) {
  return enterContext(Call::cuEventElapsedTime, [&](Driver& driver, uint64_t, Context&) -> CUresult {
    const auto first = driver.events.find(numberOf(from)), last = driver.events.find(numberOf(to));
    if (milliseconds == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (first == driver.events.end() || last == driver.events.end()) return CUDA_ERROR_INVALID_HANDLE;
    const Event &begin = first->second, &end = last->second;
    if (!begin.timed || !end.timed || begin.stream == 0 || end.stream == 0) return CUDA_ERROR_INVALID_HANDLE;
    if (!begin.reached || !end.reached) return CUDA_ERROR_NOT_READY;
    *milliseconds = std::chrono::duration<float, std::milli>(end.at - begin.at).count();
    return CUDA_SUCCESS;
  });
}

#include <cstring>

#include "call.h"

using namespace emulator;

namespace {

// The stream's number, the default one for null; 0 if there is no such stream in this context.
uint64_t streamOf(Driver& driver, uint64_t contextHandle, const Context& context, CUstream stream) {
  if (stream == nullptr) return context.defaultStream;
  const auto found = driver.streams.find(numberOf(stream));
  return found == driver.streams.end() || found->second.context != contextHandle ? 0 : found->first;
}

bool isPinned(const Driver& driver, const void* host, size_t bytes) {
  const uint8_t* at = static_cast<const uint8_t*>(host);
  auto after = driver.pinned.upper_bound(at);
  if (after == driver.pinned.begin()) return false;
  const auto& [begin, pinned] = *std::prev(after);
  const size_t from = static_cast<size_t>(at - begin);
  return from <= pinned.pages->size() && bytes <= pinned.pages->size() - from;
}

Outcome denied(const char* what) { return Outcome{CUDA_ERROR_ILLEGAL_ADDRESS, what}; }

// Device bytes for work that runs now, whatever was true when it was asked for.
uint8_t* reach(CUdeviceptr address, size_t bytes, bool write, Outcome& outcome) {
  Mapping* mapping = Driver::instance().range(address, bytes);
  if (mapping == nullptr) outcome = denied("copy or fill outside every allocation");
  else if (!(write ? mapping->writable : mapping->readable)) outcome = denied(write ? "write to memory without write access" : "read from memory without read access");
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
  if (at != nullptr) std::memcpy(to, at, bytes);
  return outcome;
}

// A copy in a stream. Pinned memory is touched when the stream gets there; pageable memory by the call itself, as the real driver does.
CUresult copyAsync(Call which, CUdeviceptr device, const void* host, size_t bytes, CUstream stream, std::function<Outcome()> copy) {
  return enterContext(which, [&](Driver& driver, uint64_t handle, Context& context) -> CUresult {
    const uint64_t number = streamOf(driver, handle, context, stream);
    if (number == 0) return CUDA_ERROR_INVALID_HANDLE;
    if (bytes == 0) return CUDA_SUCCESS;
    if (host == nullptr || driver.range(device, bytes) == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const bool pinned = isPinned(driver, host, bytes);
    Work work;
    work.copy = true;
    work.host = pinned ? static_cast<const uint8_t*>(host) : nullptr;
    work.hostBytes = bytes;
    work.run = std::move(copy);
    driver.enqueue(number, std::move(work));
    if (pinned) return CUDA_SUCCESS;
    noteWait(driver);
    return driver.drain(number, UINT64_MAX);
  });
}

CUresult copyNow(Call which, CUdeviceptr device, const void* host, size_t bytes, const std::function<Outcome()>& copy) {
  return enterContext(which, [&](Driver& driver, uint64_t handle, Context& context) -> CUresult {
    if (bytes == 0) return CUDA_SUCCESS;
    if (host == nullptr || driver.range(device, bytes) == nullptr) return CUDA_ERROR_INVALID_VALUE;
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
  return enterContext(which, [&](Driver& driver, uint64_t handle, Context& context) -> CUresult {
    const uint64_t number = streamOf(driver, handle, context, stream);
    if (number == 0) return CUDA_ERROR_INVALID_HANDLE;
    if (count == 0) return CUDA_SUCCESS;
    if (to % unit != 0 || count > SIZE_MAX / unit || driver.range(to, count * unit) == nullptr) return CUDA_ERROR_INVALID_VALUE;
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
  return enterContext(Call::cuMemcpyDtoDAsync_v2, [&](Driver& driver, uint64_t handle, Context& context) -> CUresult {
    const uint64_t number = streamOf(driver, handle, context, stream);
    if (number == 0) return CUDA_ERROR_INVALID_HANDLE;
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

// Work is done when somebody waits for it. Who only asks sees it unfinished once, and finished the next time.
template <typename T>
CUresult query(Driver& driver, T& object, uint64_t stream, uint64_t number) {
  const auto found = driver.streams.find(stream);
  const bool pending = found != driver.streams.end() && !found->second.queue.empty() && found->second.queue.front().number <= number;
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
  return enterContext(Call::cuStreamDestroy_v2, [&](Driver& driver, uint64_t handle, Context& context) -> CUresult {
    const uint64_t number = stream == nullptr ? 0 : streamOf(driver, handle, context, stream);
    if (number == 0) return CUDA_ERROR_INVALID_HANDLE;
    const CUresult result = driver.drain(number, UINT64_MAX);
    driver.streams.erase(number);
    return result;
  });
}

VR_EXPORT CUresult cuStreamSynchronize(CUstream stream) {
  return enterContext(Call::cuStreamSynchronize, [&](Driver& driver, uint64_t handle, Context& context) -> CUresult {
    const uint64_t number = streamOf(driver, handle, context, stream);
    if (number == 0) return CUDA_ERROR_INVALID_HANDLE;
    noteWait(driver);
    if (stream == nullptr) {
      const CUresult before = driver.drainBlocking(handle);
      if (before != CUDA_SUCCESS) return before;
    }
    return driver.drain(number, UINT64_MAX);
  });
}

VR_EXPORT CUresult cuStreamQuery(CUstream stream) {
  return enterContext(Call::cuStreamQuery, [&](Driver& driver, uint64_t handle, Context& context) -> CUresult {
    const uint64_t number = streamOf(driver, handle, context, stream);
    if (number == 0) return CUDA_ERROR_INVALID_HANDLE;
    return query(driver, driver.streams[number], number, UINT64_MAX);
  });
}

VR_EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  return enterContext(Call::cuStreamWaitEvent, [&](Driver& driver, uint64_t handle, Context& context) -> CUresult {
    const uint64_t number = streamOf(driver, handle, context, stream);
    const auto found = driver.events.find(numberOf(event));
    if (number == 0 || found == driver.events.end()) return CUDA_ERROR_INVALID_HANDLE;
    if (flags != CU_EVENT_WAIT_DEFAULT) return CUDA_ERROR_INVALID_VALUE;
    const Event awaited = found->second;
    if (awaited.number == 0) return CUDA_SUCCESS;
    Work work;
    work.run = [awaited] { return Outcome{Driver::instance().drain(awaited.stream, awaited.number), "in a stream waited for"}; };
    driver.enqueue(number, std::move(work));
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuEventCreate(CUevent* event, unsigned flags) {
  return enterContext(Call::cuEventCreate, [&](Driver& driver, uint64_t handle, Context&) -> CUresult {
    if (event == nullptr || flags > 7) return CUDA_ERROR_INVALID_VALUE;
    const uint64_t number = driver.newHandle();
    driver.events[number].context = handle;
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
  return enterContext(Call::cuEventRecord, [&](Driver& driver, uint64_t handle, Context& context) -> CUresult {
    const uint64_t number = streamOf(driver, handle, context, stream);
    const auto found = driver.events.find(numberOf(event));
    if (number == 0 || found == driver.events.end()) return CUDA_ERROR_INVALID_HANDLE;
    found->second.stream = number;
    found->second.number = driver.streams[number].next - 1;
    found->second.polled = false;
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuEventSynchronize(CUevent event) {
  return enterContext(Call::cuEventSynchronize, [&](Driver& driver, uint64_t, Context&) -> CUresult {
    const auto found = driver.events.find(numberOf(event));
    if (found == driver.events.end()) return CUDA_ERROR_INVALID_HANDLE;
    noteWait(driver);
    return driver.drain(found->second.stream, found->second.number);
  });
}

VR_EXPORT CUresult cuEventQuery(CUevent event) {
  return enterContext(Call::cuEventQuery, [&](Driver& driver, uint64_t, Context&) -> CUresult {
    const auto found = driver.events.find(numberOf(event));
    if (found == driver.events.end()) return CUDA_ERROR_INVALID_HANDLE;
    return query(driver, found->second, found->second.stream, found->second.number);
  });
}

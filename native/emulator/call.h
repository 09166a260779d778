// The first steps of every driver function: lock, count, fail if a test requested it, refuse if the state forbids the
// call.
#ifndef VRAM_RESIDENCY_EMULATOR_CALL_H
#define VRAM_RESIDENCY_EMULATOR_CALL_H

#include <unistd.h>

#include <new>

#include "driver.h"

#define VR_EXPORT extern "C" __attribute__((visibility("default")))

namespace emulator {

// Runs `body` as a call of `which`. `early`: allowed before cuInit.
template <typename F>
CUresult enter(Call which, F body, bool early = false) {
  Driver& driver = Driver::instance();
  const std::lock_guard<std::recursive_mutex> lock(driver.mutex);
  driver.calls[static_cast<size_t>(which)]++;
  CUresult injected = CUDA_SUCCESS;
  bool effect = true;
  for (Injection& injection : driver.injections) {
    if (injection.call != which || injection.reached || ++injection.seen != injection.nth) continue;
    injection.reached = true;
    injected = injection.code;
    effect = injection.effect;
  }
  if (injected != CUDA_SUCCESS && !effect) return injected;
  CUresult result = CUDA_SUCCESS;
  const bool forked = driver.initialised && driver.process != getpid();
  if (forked || (!early && !driver.initialised)) {
    result = CUDA_ERROR_NOT_INITIALIZED;
  } else if (unsafeInCapture(which) && (result = driver.refuseUnsafe()) != CUDA_SUCCESS) {
    return result;
  } else {
    try {
      result = body(driver);
    } catch (const std::bad_alloc&) {
      result = CUDA_ERROR_OUT_OF_MEMORY;
    }
  }
  return injected != CUDA_SUCCESS ? injected : result;
}

// The same in the current context. After a sticky error every call in the context returns that error; releasing functions
// still release.
template <typename F>
CUresult enterContext(Call which, F body) {
  return enter(which, [&](Driver& driver) -> CUresult {
    if (currentContexts().empty()) return CUDA_ERROR_INVALID_CONTEXT;
    const uint64_t handle = currentContexts().back();
    const auto found = driver.contexts.find(handle);
    if (found == driver.contexts.end()) return handle == 0 ? CUDA_ERROR_INVALID_CONTEXT : CUDA_ERROR_CONTEXT_IS_DESTROYED;
    CUresult broken = driver.devices[static_cast<size_t>(found->second.device)].lost;
    if (broken == CUDA_SUCCESS) broken = found->second.sticky;
    if (broken != CUDA_SUCCESS && !releases(which)) return broken;
    const CUresult result = body(driver, handle, found->second);
    return broken != CUDA_SUCCESS ? broken : result;
  });
}

inline void noteWait(Driver& driver) {
  if (isEventLoop) driver.waitsOnEventLoop++;
}

template <typename Handle>
uint64_t numberOf(Handle handle) { return reinterpret_cast<uint64_t>(handle); }
template <typename Handle>
Handle handleOf(uint64_t number) { return reinterpret_cast<Handle>(number); }

}  // namespace emulator

#endif

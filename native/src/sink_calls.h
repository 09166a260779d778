// Sinks for JavaScript: opaque handles of memory that threads copy a file's bytes to.
#ifndef VRAM_RESIDENCY_SINK_CALLS_H
#define VRAM_RESIDENCY_SINK_CALLS_H

#include <memory>

#include "napi_glue.h"
#include "sink.h"
#include "staging.h"

namespace vram {

struct SinkHandle {
  static constexpr napi_type_tag kTag{0x8f0f2f6b6c2d4a11, 0x9d0b7ac5d1e34f07};
  static constexpr char kName[] = "sink";
  std::shared_ptr<Sink> sink;
  // The upload that owns the staging memory. Null for a sink over JavaScript's memory.
  std::shared_ptr<Session> session;
  std::weak_ptr<Upload> upload;
  // Over JavaScript's memory: keeps it from being collected while threads may copy to it.
  napi_env env = nullptr;
  napi_ref memory = nullptr;

  // Threads copy nothing from here on. Safe to call twice.
  void close() noexcept;
  // The garbage collector found the handle.
  void dropped() noexcept { close(); }
};

// A sink over consecutive arrays, which must not be detached or resized until it is closed.
napi_value openSink(napi_env env, const Arguments& arguments);
// A sink over staging memory for a write to device memory, which writeReserved() carries out.
napi_value reserve(napi_env env, const Arguments& arguments);
napi_value writeReserved(napi_env env, const Arguments& arguments);
napi_value closeSink(napi_env env, const Arguments& arguments);

}  // namespace vram

#endif

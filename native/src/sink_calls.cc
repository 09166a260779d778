#include "sink_calls.h"

#include <cstring>
#include <utility>
#include <vector>

namespace vram {

namespace {

constexpr uint64_t kMaxSafe = 9007199254740991u;
constexpr uint32_t kMaxSpans = 4096;

napi_value undefined(napi_env env) {
  napi_value value = nullptr;
  must(napi_get_undefined(env, &value));
  return value;
}

}  // namespace

void SinkHandle::close() noexcept {
  sink->close();
  if (const std::shared_ptr<Upload> reserved = upload.lock()) session->withdraw(reserved);
  if (memory != nullptr) static_cast<void>(napi_delete_reference(env, std::exchange(memory, nullptr)));
}

napi_value openSink(napi_env env, const Arguments& arguments) {
  const uint32_t count = arrayLength(env, arguments[0], "pieces");
  if (count > kMaxSpans) throw ArgumentError{"pieces must be at most 4096"};
  // A copy: the caller may change the original array.
  napi_value kept = nullptr;
  must(napi_create_array_with_length(env, count, &kept));
  std::vector<Sink::Span> spans;
  spans.reserve(count);
  for (uint32_t i = 0; i < count; i++) {
    const napi_value piece = element(env, arguments[0], i);
    const TypedBytes bytes = toBytes(env, piece, "pieces", "Uint8Arrays");
    spans.push_back({static_cast<uint8_t*>(bytes.data), bytes.length});
    must(napi_set_element(env, kept, i, piece));
  }
  auto handle = std::make_unique<SinkHandle>();
  handle->sink = std::make_shared<Sink>(std::move(spans));
  handle->env = env;
  SinkHandle& wrapped = *handle;
  const napi_value value = wrap(env, std::move(handle));
  must(napi_create_reference(env, kept, 1, &wrapped.memory));
  return value;
}

napi_value reserve(napi_env env, const Arguments& arguments) {
  const auto& memory = unwrap<MemoryHandle>(env, arguments[0]);
  const uint64_t length = toInteger(env, arguments[1], "length", kMaxSafe);
  if (length == 0 || length > memory.session->stagingBytes()) throw ArgumentError{"length must fit the staging buffer"};
  const std::shared_ptr<Upload> upload = memory.session->reserve(static_cast<std::size_t>(length));
  auto handle = std::make_unique<SinkHandle>();
  handle->sink = upload->sink();
  handle->session = memory.session;
  handle->upload = upload;
  return wrap(env, std::move(handle));
}

napi_value writeReserved(napi_env env, const Arguments& arguments) {
  const auto& handle = unwrap<MemoryHandle>(env, arguments[0]);
  const uint64_t offset = toInteger(env, arguments[1], "offset", kMaxSafe);
  auto& reserved = unwrap<SinkHandle>(env, arguments[2]);
  if (reserved.session != handle.session) throw ArgumentError{"the handles belong to different devices"};
  if (!inRange(offset, reserved.sink->length(), handle.memory->size()))
    throw ArgumentError{"the range is not inside the memory"};
  // No thread may still change what the device copies.
  reserved.sink->close();
  const std::shared_ptr<Upload> upload = reserved.upload.lock();
  if (upload == nullptr) throw StatusError{Status::fail(Failure::kClosed, "the sink is closed")};
  handle.session->submit(upload);
  reserved.upload.reset();
  return handle.environment->start(
      env, handle.session->worker, [session = handle.session, memory = handle.memory, offset, upload](Outcome& outcome) {
        outcome.status = session->write(memory, static_cast<std::size_t>(offset), *upload);
      });
}

napi_value closeSink(napi_env env, const Arguments& arguments) {
  unwrap<SinkHandle>(env, arguments[0]).close();
  return undefined(env);
}

}  // namespace vram

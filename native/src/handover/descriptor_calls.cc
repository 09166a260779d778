#include "descriptor_calls.h"

#include <cstring>

#include "sealed_file.h"

namespace vram {

namespace {

constexpr uint64_t kMaxSafe = 9007199254740991u;
// A manifest of half a million tensors has 75 MB.
constexpr std::size_t kMaxFileBytes = std::size_t{256} << 20;

SharedDescriptor toDescriptor(napi_env env, napi_value value) {
  const auto& handle = unwrap<DescriptorHandle>(env, value);
  if (handle.descriptor == nullptr) throw ArgumentError{"the descriptor has been used or closed"};
  return handle.descriptor;
}

std::function<napi_value(napi_env)> wrapped(const std::shared_ptr<Descriptor>& descriptor) {
  return [descriptor](napi_env to) { return wrap(to, DescriptorHandle{descriptor}); };
}

}  // namespace

napi_value exportMemory(napi_env env, const Arguments& arguments) {
  const auto& handle = unwrap<MemoryHandle>(env, arguments[0]);
  return handle.environment->start(
      env, handle.session->worker, [session = handle.session, memory = handle.memory](Outcome& outcome) {
        const auto descriptor = std::make_shared<Descriptor>();
        outcome.status = session->exportMemory(*memory, *descriptor);
        outcome.value = wrapped(descriptor);
      });
}

napi_value importMemory(napi_env env, const Arguments& arguments) {
  const auto& handle = unwrap<SessionHandle>(env, arguments[0]);
  const SharedDescriptor descriptor = toDescriptor(env, arguments[1]);
  const uint64_t bytes = toInteger(env, arguments[2], "bytes", kMaxSafe);
  const std::size_t unit = handle.session->granularity();
  if (bytes == 0 || bytes % unit != 0) {
    throw ArgumentError{"bytes must be a multiple of " + std::to_string(unit) + ", the device's granularity"};
  }
  const auto environment = handle.environment;
  return environment->start(
      env, handle.session->worker, [environment, session = handle.session, descriptor, bytes](Outcome& outcome) {
        std::shared_ptr<Memory> memory;
        int granted = 0;
        outcome.status = session->importMemory(*descriptor, bytes, memory, granted);
        outcome.value = [environment, session, memory, granted](napi_env to) {
          napi_value imported = makeObject(to);
          set(to, imported, "memory", wrap(to, MemoryHandle{environment, session, memory}));
          set(to, imported, "granted", makeNumber(to, granted));
          return imported;
        };
      });
}

napi_value sealBytes(napi_env env, const Arguments& arguments) {
  const TypedBytes bytes = toBytes(env, arguments[0], "bytes", "a Uint8Array");
  if (bytes.length > kMaxFileBytes) throw ArgumentError{"bytes must be at most 256 MiB"};
  // Copied here: the array may be detached or resized while the thread reads it.
  const std::shared_ptr<uint8_t[]> copy(new uint8_t[bytes.length]);
  if (bytes.length > 0) std::memcpy(copy.get(), bytes.data, bytes.length);
  const auto environment = Environment::of(env);
  return environment->start(env, environment->control, [copy, length = bytes.length](Outcome& outcome) {
    const auto descriptor = std::make_shared<Descriptor>();
    outcome.status = makeSealedFile(copy.get(), length, *descriptor);
    outcome.value = wrapped(descriptor);
  });
}

napi_value readSealedBytes(napi_env env, const Arguments& arguments) {
  const SharedDescriptor descriptor = toDescriptor(env, arguments[0]);
  const auto limit = static_cast<std::size_t>(toInteger(env, arguments[1], "limit", kMaxFileBytes));
  const auto environment = Environment::of(env);
  return environment->start(env, environment->control, [descriptor, limit](Outcome& outcome) {
    const auto file = std::make_shared<FileBytes>();
    outcome.status = readSealedFile(*descriptor, limit, *file);
    outcome.value = [file](napi_env to) { return makeBytes(to, file->data.get(), file->length); };
  });
}

napi_value shareDescriptor(napi_env env, const Arguments& arguments) {
  return wrap(env, DescriptorHandle{toDescriptor(env, arguments[0])});
}

napi_value closeDescriptor(napi_env env, const Arguments& arguments) {
  unwrap<DescriptorHandle>(env, arguments[0]).descriptor.reset();
  napi_value undefined = nullptr;
  must(napi_get_undefined(env, &undefined));
  return undefined;
}

}  // namespace vram

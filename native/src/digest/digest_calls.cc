#include "digest_calls.h"

#include <memory>
#include <string>

#include "block_hasher.h"

namespace vram {

namespace {

// One call's input and output.
struct Blocks {
  const BlockHasher* hasher;
  const uint8_t* bytes;
  std::size_t count;
  uint8_t* hashes;

  void hash() const { hasher->hash(bytes, count, hashes); }
};

Blocks toBlocks(napi_env env, const Arguments& arguments) {
  const BlockHasher* hasher = findBlockHasher(toString(env, arguments[0], "hasher").c_str());
  if (hasher == nullptr) throw ArgumentError{"hasher must be one that this processor can run"};
  const TypedBytes bytes = toBytes(env, arguments[1], "blocks", "a Uint8Array");
  const TypedBytes hashes = toBytes(env, arguments[2], "hashes", "a Uint8Array");
  if (bytes.length % kBlockBytes != 0) throw ArgumentError{"blocks must be a whole number of blocks"};
  const std::size_t count = bytes.length / kBlockBytes;
  if (hashes.length != count * kHashBytes) throw ArgumentError{"hashes must have 32 bytes a block"};
  return {hasher, static_cast<const uint8_t*>(bytes.data), count, static_cast<uint8_t*>(hashes.data)};
}

// A call that a thread of libuv's pool carries out. The references keep both arrays from being collected.
struct Job {
  Blocks blocks;
  napi_async_work work = nullptr;
  napi_deferred deferred = nullptr;
  napi_ref references[2] = {};
};

// Failures here mean that the environment is ending: nobody is left to receive them.
void release(napi_env env, const Job& job) {
  for (napi_ref reference : job.references) {
    if (reference != nullptr) static_cast<void>(napi_delete_reference(env, reference));
  }
  if (job.work != nullptr) static_cast<void>(napi_delete_async_work(env, job.work));
}

void carryOut(napi_env, void* data) { static_cast<Job*>(data)->blocks.hash(); }

void settle(napi_env env, napi_status status, void* data) {
  const std::unique_ptr<Job> job(static_cast<Job*>(data));
  release(env, *job);
  napi_value value = nullptr;
  if (napi_get_undefined(env, &value) != napi_ok) return;
  if (status == napi_ok) {
    static_cast<void>(napi_resolve_deferred(env, job->deferred, value));
  } else {
    Status cancelled;
    cancelled.failure = Failure::kClosed;
    reject(env, job->deferred, cancelled);
  }
}

}  // namespace

napi_value blockHasherNames(napi_env env, const Arguments&) {
  napi_value names = nullptr;
  must(napi_create_array(env, &names));
  uint32_t index = 0;
  for (const BlockHasher* hasher : blockHashers())
    must(napi_set_element(env, names, index++, makeString(env, hasher->name)));
  return names;
}

napi_value hashBlocks(napi_env env, const Arguments& arguments) {
  toBlocks(env, arguments).hash();
  napi_value undefined = nullptr;
  must(napi_get_undefined(env, &undefined));
  return undefined;
}

napi_value hashBlocksAsync(napi_env env, const Arguments& arguments) {
  auto job = std::make_unique<Job>();
  job->blocks = toBlocks(env, arguments);
  napi_value promise = nullptr;
  must(napi_create_promise(env, &job->deferred, &promise));
  try {
    must(napi_create_reference(env, arguments[1], 1, &job->references[0]));
    must(napi_create_reference(env, arguments[2], 1, &job->references[1]));
    must(napi_create_async_work(env, nullptr, makeString(env, "vram-residency digest"), carryOut, settle, job.get(),
                                &job->work));
    must(napi_queue_async_work(env, job->work));
  } catch (...) {
    release(env, *job);
    throw;
  }
  // settle() owns it from here on.
  static_cast<void>(job.release());
  return promise;
}

}  // namespace vram

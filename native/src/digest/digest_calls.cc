#include "digest_calls.h"

#include <fcntl.h>

#include <cerrno>
#include <climits>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "block_hasher.h"
#include "pieces.h"
#include "../sink_calls.h"

namespace vram {

namespace {

constexpr uint64_t kMaxThreads = 64;
// The largest file offset and length: JavaScript's largest safe integer.
constexpr uint64_t kMaxBytes = (uint64_t{1} << 53) - 1;

const BlockHasher& toHasher(napi_env env, napi_value value) {
  const BlockHasher* hasher = findBlockHasher(toString(env, value, "hasher").c_str());
  if (hasher == nullptr) throw ArgumentError{"hasher must be one that this processor can run"};
  return *hasher;
}

// The bytes that receive `count` hashes.
uint8_t* toHashes(napi_env env, napi_value value, uint64_t count) {
  const TypedBytes hashes = toBytes(env, value, "hashes", "a Uint8Array");
  if (hashes.length != count * kHashBytes) throw ArgumentError{"hashes must have 32 bytes a block"};
  return static_cast<uint8_t*>(hashes.data);
}

struct Blocks {
  const uint8_t* bytes;
  std::size_t count;
};

Blocks toBlocks(napi_env env, napi_value value) {
  const TypedBytes bytes = toBytes(env, value, "blocks", "a Uint8Array");
  if (bytes.length % kBlockBytes != 0) throw ArgumentError{"blocks must be a whole number of blocks"};
  return {static_cast<const uint8_t*>(bytes.data), bytes.length / kBlockBytes};
}

// A duplicate: the caller may close the original while threads read.
Descriptor toFile(napi_env env, napi_value value) {
  const int given = static_cast<int>(toInteger(env, value, "descriptor", INT_MAX));
  Descriptor own(fcntl(given, F_DUPFD_CLOEXEC, 3));
  if (!own.open()) throw StatusError{Status::system("fcntl", errno)};
  return own;
}

std::shared_ptr<Sink> toSink(napi_env env, napi_value value, uint64_t length) {
  const std::shared_ptr<Sink>& sink = unwrap<SinkHandle>(env, value).sink;
  if (sink->length() != length) throw ArgumentError{"the sink must have `length` bytes"};
  return sink;
}

// Pieces hashed by threads of libuv's pool. The references keep the arrays from being collected.
struct Job {
  template <typename... Content>
  explicit Job(Content&&... content) : pieces(std::forward<Content>(content)...) {}

  Pieces pieces;
  // One for each thread.
  std::vector<napi_async_work> works;
  std::size_t underWay = 0;
  bool cancelled = false;
  napi_deferred deferred = nullptr;
  napi_ref references[2] = {};
};

// Failures here mean that the environment is ending: nothing is left to receive them.
void release(napi_env env, const Job& job) {
  for (napi_ref reference : job.references) {
    if (reference != nullptr) static_cast<void>(napi_delete_reference(env, reference));
  }
  for (napi_async_work work : job.works) static_cast<void>(napi_delete_async_work(env, work));
}

void carryOut(napi_env, void* data) { static_cast<Job*>(data)->pieces.hash(); }

// Throws NapiError where the environment is ending.
napi_value result(napi_env env, const Pieces& pieces) {
  if (pieces.ofFile()) return makeNumber(env, static_cast<double>(pieces.end()));
  napi_value undefined = nullptr;
  must(napi_get_undefined(env, &undefined));
  return undefined;
}

void settle(napi_env env, napi_status status, void* data) {
  auto* ending = static_cast<Job*>(data);
  if (status != napi_ok) ending->cancelled = true;
  if (--ending->underWay > 0) return;
  const std::unique_ptr<Job> job(ending);
  release(env, *job);
  const Status outcome = job->cancelled ? Status::fail(Failure::kClosed, "") : job->pieces.status();
  if (!outcome.ok()) return reject(env, job->deferred, outcome);
  try {
    static_cast<void>(napi_resolve_deferred(env, job->deferred, result(env, job->pieces)));
  } catch (const NapiError&) {
    // The environment is ending.
  }
}

// Passes the job to the pool; `keep` holds the arrays that it reads and writes. One thread is enough to carry it out, so
// it is not a failure if no further thread can be queued after the first.
napi_value start(napi_env env, std::unique_ptr<Job> job, uint64_t threads, std::initializer_list<napi_value> keep) {
  napi_value promise = nullptr;
  must(napi_create_promise(env, &job->deferred, &promise));
  try {
    napi_ref* reference = job->references;
    for (napi_value array : keep) must(napi_create_reference(env, array, 1, reference++));
    const napi_value name = makeString(env, "vram-residency digest");
    job->works.reserve(threads);
    for (uint64_t i = 0; i < threads; i++) {
      napi_async_work work = nullptr;
      must(napi_create_async_work(env, nullptr, name, carryOut, settle, job.get(), &work));
      job->works.push_back(work);
    }
    must(napi_queue_async_work(env, job->works[0]));
  } catch (...) {
    release(env, *job);
    throw;
  }
  // settle() owns it from here on.
  Job* underWay = job.release();
  underWay->underWay = 1;
  for (uint64_t i = 1; i < threads; i++) {
    if (napi_queue_async_work(env, underWay->works[i]) != napi_ok) break;
    underWay->underWay++;
  }
  return promise;
}

uint64_t toThreads(napi_env env, napi_value value) {
  const uint64_t threads = toInteger(env, value, "threads", kMaxThreads);
  if (threads == 0) throw ArgumentError{"threads must not be 0"};
  return threads;
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
  const BlockHasher& hasher = toHasher(env, arguments[0]);
  const Blocks blocks = toBlocks(env, arguments[1]);
  hasher.hash(blocks.bytes, blocks.count, toHashes(env, arguments[2], blocks.count));
  napi_value undefined = nullptr;
  must(napi_get_undefined(env, &undefined));
  return undefined;
}

napi_value hashBlocksAsync(napi_env env, const Arguments& arguments) {
  const BlockHasher& hasher = toHasher(env, arguments[0]);
  const Blocks blocks = toBlocks(env, arguments[1]);
  uint8_t* hashes = toHashes(env, arguments[2], blocks.count);
  const uint64_t threads = toThreads(env, arguments[3]);
  auto job = std::make_unique<Job>(Pieces::Hashing{&hasher, hashes}, blocks.bytes, blocks.count);
  return start(env, std::move(job), threads, {arguments[1], arguments[2]});
}

napi_value hashFileAsync(napi_env env, const Arguments& arguments) {
  const BlockHasher& hasher = toHasher(env, arguments[0]);
  const uint64_t offset = toInteger(env, arguments[2], "offset", kMaxBytes);
  const uint64_t length = toInteger(env, arguments[3], "length", kMaxBytes);
  uint8_t* hashes = toHashes(env, arguments[4], (length + kBlockBytes - 1) / kBlockBytes);
  const uint64_t threads = toThreads(env, arguments[5]);
  const bool copied = !isNullish(env, arguments[6]);
  auto job = std::make_unique<Job>(toFile(env, arguments[1]), offset, length, Pieces::Hashing{&hasher, hashes},
                                   copied ? toSink(env, arguments[6], length) : nullptr);
  return start(env, std::move(job), threads, {arguments[4]});
}

napi_value readFileAsync(napi_env env, const Arguments& arguments) {
  const uint64_t offset = toInteger(env, arguments[1], "offset", kMaxBytes);
  const uint64_t length = toInteger(env, arguments[2], "length", kMaxBytes);
  std::shared_ptr<Sink> sink = toSink(env, arguments[3], length);
  const uint64_t threads = toThreads(env, arguments[4]);
  auto job = std::make_unique<Job>(toFile(env, arguments[0]), offset, length, Pieces::Hashing{}, std::move(sink));
  return start(env, std::move(job), threads, {});
}

}  // namespace vram

// Direct driver measurements for the hardware kit, as a reference for the addon: timed copies and a few device figures.
// A separate addon, so that none of this is in the one that ships. Calls block, so they belong in a process that does
// nothing else.
#include <chrono>
#include <cstring>
#include <vector>

#include "../src/napi_glue.h"
#include "../src/driver.h"

namespace vram {

namespace {

constexpr uint64_t kMaxBytes = uint64_t{1} << 32;
constexpr uint64_t kMaxRepeats = 1000;

// The primary context of one device, current on this thread, with a stream; both are released.
class Context {
 public:
  explicit Context(const Driver& driver) : driver_(driver) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() {
    if (stream_ != nullptr) static_cast<void>(driver_.fn().cuStreamDestroy_v2(stream_));
    if (context_ != nullptr) static_cast<void>(driver_.fn().cuDevicePrimaryCtxRelease_v2(device_));
  }

  Status open(int index) {
    VRAM_TRY(VRAM_CALL(driver_, cuDeviceGet, &device_, index));
    VRAM_TRY(VRAM_CALL(driver_, cuDevicePrimaryCtxRetain, &context_, device_));
    VRAM_TRY(VRAM_CALL(driver_, cuCtxSetCurrent, context_));
    return VRAM_CALL(driver_, cuStreamCreate, &stream_, CU_STREAM_NON_BLOCKING);
  }
  CUstream stream() const { return stream_; }

 private:
  const Driver& driver_;
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
  CUstream stream_ = nullptr;
};

class DeviceBuffer {
 public:
  explicit DeviceBuffer(const Driver& driver) : driver_(driver) {}
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  ~DeviceBuffer() {
    if (address_ != 0) static_cast<void>(driver_.fn().cuMemFree_v2(address_));
  }
  Status allocate(std::size_t bytes) { return VRAM_CALL(driver_, cuMemAlloc_v2, &address_, bytes); }
  CUdeviceptr address() const { return address_; }

 private:
  const Driver& driver_;
  CUdeviceptr address_ = 0;
};

class PinnedBuffer {
 public:
  explicit PinnedBuffer(const Driver& driver) : driver_(driver) {}
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;
  ~PinnedBuffer() {
    if (memory_ != nullptr) static_cast<void>(driver_.fn().cuMemFreeHost(memory_));
  }
  Status allocate(std::size_t bytes) {
    VRAM_TRY(VRAM_CALL(driver_, cuMemAllocHost_v2, &memory_, bytes));
    std::memset(memory_, 0x5a, bytes);
    return {};
  }
  void* memory() const { return memory_; }

 private:
  const Driver& driver_;
  void* memory_ = nullptr;
};

struct Copies {
  std::vector<double> pageable, pinned, back, within;  // milliseconds
};

// One round of `copy` warms up and is not counted.
template <typename Copy>
Status timed(const Driver& driver, CUstream stream, uint64_t repeats, std::vector<double>& times, Copy copy) {
  for (uint64_t round = 0; round <= repeats; round++) {
    const auto started = std::chrono::steady_clock::now();
    VRAM_TRY(copy());
    VRAM_TRY(VRAM_CALL(driver, cuStreamSynchronize, stream));
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - started;
    if (round > 0) times.push_back(took.count());
  }
  return {};
}

Status measureCopies(const std::string& path, int index, std::size_t bytes, uint64_t repeats, Copies& out) {
  std::shared_ptr<Driver> driver;
  VRAM_TRY(Driver::load(path, driver));
  Context context(*driver);
  VRAM_TRY(context.open(index));
  DeviceBuffer from(*driver), to(*driver);
  PinnedBuffer pinned(*driver);
  VRAM_TRY(from.allocate(bytes));
  VRAM_TRY(to.allocate(bytes));
  VRAM_TRY(pinned.allocate(bytes));
  std::vector<unsigned char> pageable(bytes, 0xa5);
  const CUstream stream = context.stream();
  VRAM_TRY(timed(*driver, stream, repeats, out.pageable, [&] {
    return VRAM_CALL(*driver, cuMemcpyHtoDAsync_v2, from.address(), pageable.data(), bytes, stream);
  }));
  VRAM_TRY(timed(*driver, stream, repeats, out.pinned, [&] {
    return VRAM_CALL(*driver, cuMemcpyHtoDAsync_v2, from.address(), pinned.memory(), bytes, stream);
  }));
  VRAM_TRY(timed(*driver, stream, repeats, out.back, [&] {
    return VRAM_CALL(*driver, cuMemcpyDtoHAsync_v2, pinned.memory(), from.address(), bytes, stream);
  }));
  return timed(*driver, stream, repeats, out.within, [&] {
    return VRAM_CALL(*driver, cuMemcpyDtoDAsync_v2, to.address(), from.address(), bytes, stream);
  });
}

napi_value makeTimes(napi_env env, const std::vector<double>& times) {
  napi_value array = nullptr;
  must(napi_create_array_with_length(env, times.size(), &array));
  for (std::size_t i = 0; i < times.size(); i++) {
    must(napi_set_element(env, array, static_cast<uint32_t>(i), makeNumber(env, times[i])));
  }
  return array;
}

// The return value of a failed function whose exception is pending.
napi_value failed(napi_env env, const Status& status) {
  throwStatus(env, status);
  return nullptr;
}

std::string toPath(napi_env env, napi_value value) {
  return isNullish(env, value) ? std::string() : toString(env, value, "path");
}

// copies(path | null, index, bytes, repeats) -> {pageable, pinned, back, within}: milliseconds of each copy of `bytes`.
napi_value copies(napi_env env, const Arguments& arguments) {
  const std::string path = toPath(env, arguments[0]);
  const auto index = static_cast<int>(toInteger(env, arguments[1], "index", 1023));
  const auto bytes = static_cast<std::size_t>(toInteger(env, arguments[2], "bytes", kMaxBytes));
  const uint64_t repeats = toInteger(env, arguments[3], "repeats", kMaxRepeats);
  if (bytes == 0 || repeats == 0) throw ArgumentError{"bytes and repeats must be at least 1"};
  Copies measured;
  const Status status = measureCopies(path, index, bytes, repeats, measured);
  if (!status.ok()) return failed(env, status);
  napi_value result = makeObject(env);
  set(env, result, "pageable", makeTimes(env, measured.pageable));
  set(env, result, "pinned", makeTimes(env, measured.pinned));
  set(env, result, "back", makeTimes(env, measured.back));
  set(env, result, "within", makeTimes(env, measured.within));
  return result;
}

// attributes(path | null, index) -> the device attributes that the kit computes with.
napi_value attributes(napi_env env, const Arguments& arguments) {
  const std::string path = toPath(env, arguments[0]);
  const auto index = static_cast<int>(toInteger(env, arguments[1], "index", 1023));
  struct Query {
    const char* name;
    int attribute;
    int value;
  };
  Query queries[] = {
      {"multiprocessors", CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0},
      {"maxClockKHz", CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 0},
      {"maxMemoryClockKHz", CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 0},
      {"memoryBusBits", CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, 0},
      {"l2Bytes", CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 0},
  };
  const auto ask = [&]() -> Status {
    std::shared_ptr<Driver> driver;
    VRAM_TRY(Driver::load(path, driver));
    CUdevice device = 0;
    VRAM_TRY(VRAM_CALL(*driver, cuDeviceGet, &device, index));
    for (Query& one : queries) VRAM_TRY(driver->attribute(one.attribute, device, one.value));
    return {};
  };
  const Status status = ask();
  if (!status.ok()) return failed(env, status);
  napi_value result = makeObject(env);
  for (const Query& one : queries) set(env, result, one.name, makeNumber(env, one.value));
  return result;
}

void exportFunction(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function = nullptr;
  must(napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function));
  set(env, exports, name, function);
}

}  // namespace

}  // namespace vram

NAPI_MODULE_INIT() {
  try {
    vram::exportFunction(env, exports, "copies", vram::guarded<vram::copies>);
    vram::exportFunction(env, exports, "attributes", vram::guarded<vram::attributes>);
    return exports;
  } catch (const vram::NapiError&) {
    // An exception is pending; Node reports it.
    return nullptr;
  }
}

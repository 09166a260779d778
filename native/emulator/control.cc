// The same library as a Node addon: tests in the process configure the driver, make calls fail, and inspect what was not
// released.
#include <node_api.h>

#include <cstring>
#include <type_traits>
#include <utility>

#include "call.h"
#include "control_values.h"

using namespace emulator;

#define VR_DECLARE(name, parameters) extern "C" CUresult name parameters;
VR_EMULATED_FUNCTIONS(VR_DECLARE)
#undef VR_DECLARE

namespace {

constexpr size_t kMaxArguments = 12;

using Arguments = std::vector<napi_value>;

napi_value argument(const Arguments& arguments, size_t k) {
  if (k >= arguments.size()) throw Failure{"too few arguments"};
  return arguments[k];
}

// ---- configuration

template <typename T>
void take(const Js& js, napi_value object, const char* name, T& into) {
  const napi_value value = js.property(object, name);
  if (js.absent(value)) return;
  if constexpr (std::is_same_v<T, bool>) into = js.boolean(value);
  else if constexpr (std::is_same_v<T, std::string>) into = js.text(value);
  else into = static_cast<T>(js.whole(value));
}

void apply(const Js& js, napi_value object, DeviceConfig& c) {
  take(js, object, "name", c.name);
  take(js, object, "major", c.major);
  take(js, object, "minor", c.minor);
  take(js, object, "integrated", c.integrated);
  take(js, object, "managed", c.managed);
  take(js, object, "ecc", c.ecc);
  take(js, object, "vmm", c.vmm);
  take(js, object, "posixHandles", c.posixHandles);
  take(js, object, "tcc", c.tcc);
  take(js, object, "memoryType", c.memoryType);
  take(js, object, "totalBytes", c.totalBytes);
  take(js, object, "usedByOthers", c.usedByOthers);
  take(js, object, "multiprocessors", c.multiprocessors);
}

void apply(const Js& js, napi_value object, Config& c) {
  take(js, object, "driverVersion", c.driverVersion);
  take(js, object, "initResult", c.initResult);
  take(js, object, "deferCopies", c.deferCopies);
  take(js, object, "ignoreReadOnly", c.ignoreReadOnly);
  take(js, object, "granularity", c.granularity);
  take(js, object, "instructionBudget", c.instructionBudget);
  take(js, object, "workers", c.workers);
  if (c.granularity == 0) throw Failure{"granularity is 0"};
  const napi_value devices = js.property(object, "devices");
  if (js.absent(devices)) return;
  uint32_t count = 0;
  if (napi_get_array_length(js.env(), devices, &count) != napi_ok) throw Failure{"devices: an array is expected"};
  c.devices.resize(count);
  for (uint32_t k = 0; k < count; k++) {
    napi_value device;
    js.check(napi_get_element(js.env(), devices, k, &device));
    apply(js, device, c.devices[k]);
  }
}

napi_value reset(const Js& js, Driver& driver, const Arguments& arguments) {
  Config config;
  if (!arguments.empty() && !js.absent(arguments[0])) apply(js, arguments[0], config);
  driver.reset(config);
  Physical::freed = 0;
  Physical::freedUnwiped = 0;
  return nullptr;
}

// Changes the settings but no live objects; the number of devices stays.
napi_value configure(const Js& js, Driver& driver, const Arguments& arguments) {
  Config config = driver.config;
  apply(js, argument(arguments, 0), config);
  if (config.devices.size() != driver.devices.size())
    throw Failure{"configure() cannot change the number of devices: use reset()"};
  driver.config = config;
  for (size_t k = 0; k < driver.devices.size(); k++) driver.devices[k].config = config.devices[k];
  return nullptr;
}

// ---- faults

napi_value failCall(const Js& js, Driver& driver, const Arguments& arguments) {
  Injection injection{};
  const std::string name = js.text(argument(arguments, 0));
  injection.call = callNamed(name);
  if (injection.call == Call::Count) throw Failure{"no driver function " + name};
  injection.nth = js.whole(argument(arguments, 1));
  injection.code = static_cast<CUresult>(js.whole(argument(arguments, 2)));
  injection.effect = releases(injection.call);
  if (arguments.size() > 3 && !js.absent(arguments[3])) injection.effect = js.boolean(arguments[3]);
  if (injection.nth == 0 || injection.code == CUDA_SUCCESS)
    throw Failure{"failCall: the call counts from 1 and the code is CUDA_SUCCESS"};
  driver.injections.push_back(injection);
  return nullptr;
}

napi_value injections(const Js& js, Driver& driver, const Arguments&) {
  const napi_value list = js.array();
  for (const Injection& injection : driver.injections) {
    const napi_value entry = js.object();
    js.set(entry, "name", js.of(std::string(nameOf(injection.call))));
    js.set(entry, "nth", js.of(static_cast<double>(injection.nth)));
    js.set(entry, "code", js.of(static_cast<double>(injection.code)));
    js.set(entry, "reached", js.of(injection.reached));
    js.push(list, entry);
  }
  return list;
}

Physical& allocation(const Js& js, Driver& driver, napi_value index) {
  const uint64_t k = js.whole(index);
  const std::vector<std::shared_ptr<Physical>> all = driver.allocations();
  if (k >= all.size()) throw Failure{"no allocation " + std::to_string(k) + ": there are " + std::to_string(all.size())};
  return *all[k];
}

napi_value flip(const Js& js, Driver& driver, const Arguments& arguments) {
  Physical& memory = allocation(js, driver, argument(arguments, 0));
  const uint64_t byte = js.whole(argument(arguments, 1)), mask = js.whole(argument(arguments, 2));
  if (byte >= memory.pages.size() || mask == 0 || mask > 255) throw Failure{"flip: byte or mask out of range"};
  memory.pages.data()[byte] ^= static_cast<uint8_t>(mask);
  return nullptr;
}

napi_value peek(const Js& js, Driver& driver, const Arguments& arguments) {
  const Physical& memory = allocation(js, driver, argument(arguments, 0));
  const uint64_t offset = js.whole(argument(arguments, 1)), length = js.whole(argument(arguments, 2));
  if (offset > memory.pages.size() || length > memory.pages.size() - offset) throw Failure{"peek: out of range"};
  void* data = nullptr;
  napi_value buffer, view;
  js.check(napi_create_arraybuffer(js.env(), length, &data, &buffer));
  if (length > 0) std::memcpy(data, memory.pages.data() + offset, length);
  js.check(napi_create_typedarray(js.env(), napi_uint8_array, length, buffer, 0, &view));
  return view;
}

Device& deviceAt(const Js& js, Driver& driver, const Arguments& arguments) {
  const uint64_t k = arguments.empty() || js.absent(arguments[0]) ? 0 : js.whole(arguments[0]);
  if (k >= driver.devices.size()) throw Failure{"no device " + std::to_string(k)};
  return driver.devices[k];
}

napi_value loseDevice(const Js& js, Driver& driver, const Arguments& arguments) {
  Device& device = deviceAt(js, driver, arguments);
  device.lost = arguments.size() > 1 && !js.absent(arguments[1]) ? static_cast<CUresult>(js.whole(arguments[1]))
                                                                 : CUDA_ERROR_UNKNOWN;
  return nullptr;
}

napi_value eccError(const Js& js, Driver& driver, const Arguments& arguments) {
  const Device& device = deviceAt(js, driver, arguments);
  if (device.context == 0) throw Failure{"eccError: nobody holds the device's context"};
  driver.makeSticky(device.context, CUDA_ERROR_ECC_UNCORRECTABLE, "uncorrectable ECC error");
  return nullptr;
}

// ---- inspection

napi_value calls(const Js& js, Driver& driver, const Arguments&) {
  const napi_value result = js.object();
  for (size_t k = 0; k < driver.calls.size(); k++)
    if (driver.calls[k] > 0) js.set(result, nameOf(static_cast<Call>(k)), js.of(static_cast<double>(driver.calls[k])));
  return result;
}

napi_value liveAllocations(const Js& js, Driver& driver, const Arguments&) {
  const Live live = driver.live();
  const std::pair<const char*, size_t> figures[] = {
      {"memory", live.memory},      {"physical", live.physical}, {"reservations", live.reservations},
      {"mappings", live.mappings},  {"pinned", live.pinned},     {"streams", live.streams},
      {"events", live.events},      {"modules", live.modules},   {"contexts", live.contexts},
      {"abandoned", live.abandoned}};
  const napi_value result = js.object();
  size_t total = 0;
  for (const auto& [name, figure] : figures) {
    js.set(result, name, js.of(figure));
    total += figure;
  }
  js.set(result, "total", js.of(total));
  return result;
}

napi_value allocations(const Js& js, Driver& driver, const Arguments&) {
  const napi_value list = js.array();
  for (const auto& memory : driver.allocations()) {
    const napi_value entry = js.object();
    js.set(entry, "device", js.of(static_cast<double>(memory->device)));
    js.set(entry, "bytes", js.of(memory->pages.size()));
    js.push(list, entry);
  }
  return list;
}

// Bytes of pinned memory that are not zero.
napi_value pinnedResidue(const Js& js, Driver& driver, const Arguments&) {
  size_t count = 0;
  for (const auto& entry : driver.pinned) {
    const GuardedPages& pages = *entry.second.pages;
    for (size_t k = 0; k < pages.size(); k++) count += pages.data()[k] != 0 ? 1 : 0;
  }
  return js.of(count);
}

// Pieces of device memory released since reset(), and how many of them were not zero.
napi_value freed(const Js& js, Driver&, const Arguments&) { return js.of(static_cast<double>(Physical::freed.load())); }
napi_value freedUnwiped(const Js& js, Driver&, const Arguments&) {
  return js.of(static_cast<double>(Physical::freedUnwiped.load()));
}

napi_value pendingCopies(const Js& js, Driver& driver, const Arguments&) { return js.of(driver.pendingCopies()); }
napi_value waitsOnEventLoop(const Js& js, Driver& driver, const Arguments&) {
  return js.of(static_cast<double>(driver.waitsOnEventLoop));
}
napi_value lastFault(const Js& js, Driver& driver, const Arguments&) { return js.of(driver.lastFault); }

// ---- the driver's own functions, for tests of the emulator alone

template <typename T>
T as(uint64_t value) {
  if constexpr (std::is_pointer_v<T>) return reinterpret_cast<T>(value);
  else return static_cast<T>(value);
}

template <typename... P, size_t... K>
CUresult invoke(CUresult (*function)(P...), const uint64_t* values, std::index_sequence<K...>) {
  (void)values;
  return function(as<P>(values[K])...);
}

template <typename... P>
CUresult invoke(CUresult (*function)(P...), const std::vector<uint64_t>& values) {
  if (values.size() != sizeof...(P)) throw Failure{"this function takes " + std::to_string(sizeof...(P)) + " arguments"};
  return invoke(function, values.data(), std::index_sequence_for<P...>{});
}

// Integers pass as they are, strings and typed arrays by address, null as zero.
napi_value call(const Js& js, Driver&, const Arguments& arguments) {
  const std::string name = js.text(argument(arguments, 0));
  std::deque<std::string> texts;
  std::vector<uint64_t> values;
  for (size_t k = 1; k < arguments.size(); k++) {
    const napi_valuetype type = js.type(arguments[k]);
    if (type == napi_null) {
      values.push_back(0);
    } else if (type == napi_string) {
      texts.push_back(js.text(arguments[k]));
      values.push_back(reinterpret_cast<uint64_t>(texts.back().c_str()));
    } else if (type == napi_object) {
      values.push_back(reinterpret_cast<uint64_t>(js.bytes(arguments[k])));
    } else {
      values.push_back(js.whole(arguments[k]));
    }
  }
#define VR_INVOKE(function, parameters) \
  if (name == #function) return js.of(static_cast<double>(invoke(function, values)));
  VR_EMULATED_FUNCTIONS(VR_INVOKE)
#undef VR_INVOKE
  throw Failure{"no driver function " + name};
}

napi_value addressOf(const Js& js, Driver&, const Arguments& arguments) {
  return js.address(js.bytes(argument(arguments, 0)));
}

// Copies between JavaScript and pinned memory.
uint8_t* pinnedAt(const Js& js, Driver& driver, napi_value address, uint64_t bytes) {
  const auto* at = reinterpret_cast<const uint8_t*>(js.whole(address));
  const auto found = driver.pinned.find(at);
  if (found == driver.pinned.end() || bytes > found->second.pages->size())
    throw Failure{"not that much pinned memory there"};
  return found->second.pages->data();
}

napi_value writePinned(const Js& js, Driver& driver, const Arguments& arguments) {
  size_t length = 0;
  const uint8_t* from = js.bytes(argument(arguments, 1));
  js.check(napi_get_typedarray_info(js.env(), arguments[1], nullptr, &length, nullptr, nullptr, nullptr));
  std::memcpy(pinnedAt(js, driver, argument(arguments, 0), length), from, length);
  return nullptr;
}

napi_value readPinned(const Js& js, Driver& driver, const Arguments& arguments) {
  const uint64_t length = js.whole(argument(arguments, 1));
  const uint8_t* from = pinnedAt(js, driver, argument(arguments, 0), length);
  void* data = nullptr;
  napi_value buffer, view;
  js.check(napi_create_arraybuffer(js.env(), length, &data, &buffer));
  std::memcpy(data, from, length);
  js.check(napi_create_typedarray(js.env(), napi_uint8_array, length, buffer, 0, &view));
  return view;
}

using Body = napi_value (*)(const Js&, Driver&, const Arguments&);

template <Body body>
napi_value entry(napi_env env, napi_callback_info info) {
  try {
    const Js js(env);
    size_t count = kMaxArguments;
    napi_value values[kMaxArguments];
    js.check(napi_get_cb_info(env, info, &count, values, nullptr, nullptr));
    if (count > kMaxArguments) throw Failure{"too many arguments"};
    Driver& driver = Driver::instance();
    const std::lock_guard<std::recursive_mutex> lock(driver.mutex);
    return body(js, driver, Arguments(values, values + count));
  } catch (const Failure& failure) {
    napi_throw_error(env, nullptr, failure.message.c_str());
    return nullptr;
  }
}

}  // namespace

// Its presence marks the library as a test driver.
VR_EXPORT int vrEmulator() { return 1; }

VR_EXPORT napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  isEventLoop = true;
  const std::pair<const char*, napi_callback> functions[] = {
      {"reset", entry<reset>},
      {"configure", entry<configure>},
      {"failCall", entry<failCall>},
      {"injections", entry<injections>},
      {"calls", entry<calls>},
      {"liveAllocations", entry<liveAllocations>},
      {"allocations", entry<allocations>},
      {"flip", entry<flip>},
      {"peek", entry<peek>},
      {"loseDevice", entry<loseDevice>},
      {"eccError", entry<eccError>},
      {"pinnedResidue", entry<pinnedResidue>},
      {"freed", entry<freed>},
      {"freedUnwiped", entry<freedUnwiped>},
      {"pendingCopies", entry<pendingCopies>},
      {"waitsOnEventLoop", entry<waitsOnEventLoop>},
      {"lastFault", entry<lastFault>},
      {"call", entry<call>},
      {"addressOf", entry<addressOf>},
      {"writePinned", entry<writePinned>},
      {"readPinned", entry<readPinned>},
  };
  for (const auto& [name, callback] : functions) {
    napi_value function;
    const bool made = napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function) == napi_ok &&
                      napi_set_named_property(env, exports, name, function) == napi_ok;
    if (!made) return nullptr;
  }
  return exports;
}

// The test driver's controls for a process without Node, such as Python through ctypes: C functions, texts in UTF-8. They
// act on the same state as the controls for JavaScript (control.cc). Device addresses pass as unsigned long long.
//
//   const char* vr_emulator_reset(settings)       a fresh driver; live objects are forgotten
//   const char* vr_emulator_configure(settings)   changes settings but no live objects; not the number of devices
//   const char* vr_emulator_fail_call(name, nth, result)
//                                                 the nth call from now on of a driver function returns `result`; one that
//                                                 releases something still releases it
//   const char* vr_emulator_flip(address, mask)   changes bits of one byte of device memory, past every access right
//   const char* vr_emulator_lose_device(device, result)
//                                                 every call on the device returns `result` from now on
//   const char* vr_emulator_state()               JSON, below
//
// Settings: text as in VRAM_EMULATOR ("driverVersion=11080;devices=2;totalBytes=1048576"). All functions but the last
// return null, or an error message. A text stays valid until the same thread's next call of one of these functions.
#include <algorithm>
#include <cstdio>

#include "call.h"

using namespace emulator;

namespace {

const char* answer(std::string text) {
  static thread_local std::string kept;
  kept = std::move(text);
  return kept.empty() ? nullptr : kept.c_str();
}

// Runs `body`, which returns an error message or "", under the driver's lock. No exception crosses the boundary.
template <typename F>
const char* controlled(F body) {
  try {
    Driver& driver = Driver::instance();
    const std::lock_guard<std::recursive_mutex> lock(driver.mutex);
    return answer(body(driver));
  } catch (const std::exception& error) {
    return answer(error.what());
  }
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) result += c;
    else result += ' ';
  }
  return result + '"';
}

// {"calls": {"cuInit": 1, ...}, "live": {"memory": 0, ...}, "bytesToHost": 0, "usedBytes": [0], "captures": 0,
//  "lastFault": ""}
std::string stateOf(Driver& driver) {
  std::string text = "{\"calls\": {";
  const char* separator = "";
  for (size_t k = 0; k < driver.calls.size(); k++) {
    if (driver.calls[k] == 0) continue;
    text += separator + quoted(nameOf(static_cast<Call>(k))) + ": " + std::to_string(driver.calls[k]);
    separator = ", ";
  }
  const Live live = driver.live();
  const std::pair<const char*, size_t> figures[] = {
      {"memory", live.memory}, {"physical", live.physical}, {"reservations", live.reservations}, {"mappings", live.mappings},
      {"pinned", live.pinned}, {"streams", live.streams},   {"events", live.events},             {"modules", live.modules},
      {"contexts", live.contexts}, {"abandoned", live.abandoned}};
  text += "}, \"live\": {";
  separator = "";
  for (const auto& [name, figure] : figures) {
    text += separator + quoted(name) + ": " + std::to_string(figure);
    separator = ", ";
  }
  text += "}, \"bytesToHost\": " + std::to_string(driver.bytesToHost) + ", \"usedBytes\": [";
  separator = "";
  for (const Device& device : driver.devices) {
    text += separator + std::to_string(device.usedBytes);
    separator = ", ";
  }
  text += "], \"captures\": " + std::to_string(driver.captures.size());
  return text + ", \"lastFault\": " + quoted(driver.lastFault) + "}";
}

std::string unknownKey(const std::string& key) { return key.empty() ? key : "no setting " + key; }

}  // namespace

VR_EXPORT const char* vr_emulator_reset(const char* settings) {
  return controlled([&](Driver& driver) {
    Config config;
    const std::string unknown = applySettings(settings, config);
    if (unknown.empty()) driver.reset(config);
    return unknownKey(unknown);
  });
}

VR_EXPORT const char* vr_emulator_configure(const char* settings) {
  return controlled([&](Driver& driver) {
    Config config = driver.config;
    const std::string unknown = applySettings(settings, config);
    if (!unknown.empty()) return unknownKey(unknown);
    if (config.devices.size() != driver.devices.size())
      return std::string("the number of devices cannot change: use vr_emulator_reset");
    driver.config = config;
    for (size_t k = 0; k < driver.devices.size(); k++) driver.devices[k].config = config.devices[k];
    return std::string();
  });
}

VR_EXPORT const char* vr_emulator_fail_call(const char* name, unsigned long long nth, int result) {
  return controlled([&](Driver& driver) {
    Injection injection{};
    injection.call = callNamed(name == nullptr ? "" : name);
    if (injection.call == Call::Count) return std::string("no such driver function");
    if (nth == 0 || result == CUDA_SUCCESS) return std::string("calls count from 1, and the result must be an error");
    injection.nth = nth;
    injection.code = result;
    injection.effect = releases(injection.call);
    driver.injections.push_back(injection);
    return std::string();
  });
}

VR_EXPORT const char* vr_emulator_flip(unsigned long long address, unsigned mask) {
  return controlled([&](Driver& driver) {
    const Mapping* mapping = driver.addresses.around(address);
    if (mapping == nullptr) return std::string("no device memory at this address");
    if (mask == 0 || mask > 255) return std::string("the mask must have bits of one byte");
    mapping->physical->pages.data()[mapping->offset + (address - mapping->begin)] ^= static_cast<uint8_t>(mask);
    return std::string();
  });
}

VR_EXPORT const char* vr_emulator_lose_device(int device, int result) {
  return controlled([&](Driver& driver) {
    if (device < 0 || static_cast<size_t>(device) >= driver.devices.size()) return std::string("no such device");
    driver.devices[static_cast<size_t>(device)].lost = result;
    return std::string();
  });
}

VR_EXPORT const char* vr_emulator_state() {
  return controlled(stateOf);
}

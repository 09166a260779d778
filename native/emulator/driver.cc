#include "driver.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace emulator {

thread_local bool isEventLoop = false;

std::vector<uint64_t>& currentContexts() {
  static thread_local std::vector<uint64_t> stack;
  return stack;
}

int& captureMode() {
  static thread_local int mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  return mode;
}

namespace {

const char* const kCallNames[] = {
#define VR_CALL_NAME(name, parameters) #name,
    VR_EMULATED_FUNCTIONS(VR_CALL_NAME)
#undef VR_CALL_NAME
};

// For processes that a test cannot configure: `VRAM_EMULATOR="driverVersion=11080;devices=2;integrated=1"`.
Config configFromEnvironment() {
  Config config;
  applySettings(std::getenv("VRAM_EMULATOR"), config);
  return config;
}

// False if there is no such key.
bool applyToDevice(const std::string& key, const char* value, DeviceConfig& device) {
  const uint64_t number = std::strtoull(value, nullptr, 10);
  if (key == "name") device.name = value;
  else if (key == "major") device.major = static_cast<int>(number);
  else if (key == "minor") device.minor = static_cast<int>(number);
  else if (key == "integrated") device.integrated = number != 0;
  else if (key == "managed") device.managed = number != 0;
  else if (key == "ecc") device.ecc = number != 0;
  else if (key == "vmm") device.vmm = number != 0;
  else if (key == "posixHandles") device.posixHandles = number != 0;
  else if (key == "tcc") device.tcc = number != 0;
  else if (key == "memoryType") device.memoryType = static_cast<unsigned>(number);
  else if (key == "totalBytes") device.totalBytes = number;
  else if (key == "usedByOthers") device.usedByOthers = number;
  else if (key == "multiprocessors") device.multiprocessors = static_cast<int>(number);
  else return false;
  return true;
}

bool applyToDriver(const std::string& key, const char* value, Config& config) {
  const uint64_t number = std::strtoull(value, nullptr, 10);
  const DeviceConfig more = config.devices.empty() ? DeviceConfig{} : config.devices[0];
  if (key == "devices") config.devices.resize(std::min<uint64_t>(number, 64), more);
  else if (key == "driverVersion") config.driverVersion = static_cast<int>(number);
  else if (key == "initResult") config.initResult = static_cast<CUresult>(number);
  else if (key == "deferCopies") config.deferCopies = number != 0;
  else if (key == "ignoreReadOnly") config.ignoreReadOnly = number != 0;
  else if (key == "granularity") config.granularity = std::max<uint64_t>(number, 1);
  else if (key == "instructionBudget") config.instructionBudget = number;
  else if (key == "workers") config.workers = static_cast<unsigned>(number);
  else return false;
  return true;
}

}  // namespace

std::string applySettings(const char* text, Config& config) {
  std::string rest = text == nullptr ? "" : text, unknown;
  // Settings for all devices are collected first, so that `devices` may come anywhere in the text.
  std::vector<std::pair<std::string, std::string>> ofDevices;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(';'), rest.size());
    const std::string entry = rest.substr(0, end);
    rest.erase(0, std::min(end + 1, rest.size()));
    const size_t equals = std::min(entry.find('='), entry.size());
    const std::string key = entry.substr(0, equals), value = entry.substr(std::min(equals + 1, entry.size()));
    DeviceConfig tried;
    if (applyToDevice(key, value.c_str(), tried)) ofDevices.emplace_back(key, value);
    else if (!applyToDriver(key, value.c_str(), config) && unknown.empty()) unknown = key;
  }
  for (DeviceConfig& device : config.devices)
    for (const auto& [key, value] : ofDevices) applyToDevice(key, value.c_str(), device);
  return unknown;
}

const char* nameOf(Call call) { return kCallNames[static_cast<size_t>(call)]; }

Call callNamed(const std::string& name) {
  for (size_t k = 0; k < static_cast<size_t>(Call::Count); k++)
    if (name == kCallNames[k]) return static_cast<Call>(k);
  return Call::Count;
}

bool releases(Call call) {
  switch (call) {
    case Call::cuMemFree_v2:
    case Call::cuMemFreeHost:
    case Call::cuMemUnmap:
    case Call::cuMemRelease:
    case Call::cuMemAddressFree:
    case Call::cuStreamDestroy_v2:
    case Call::cuEventDestroy_v2:
    case Call::cuModuleUnload:
    case Call::cuDevicePrimaryCtxRelease_v2:
      return true;
    default:
      return false;
  }
}

bool unsafeInCapture(Call call) {
  switch (call) {
    case Call::cuMemAlloc_v2: case Call::cuMemFree_v2: case Call::cuMemAllocHost_v2: case Call::cuMemHostAlloc:
    case Call::cuMemFreeHost:
    case Call::cuMemcpyHtoD_v2:
    case Call::cuMemcpyDtoH_v2:
    case Call::cuModuleLoadData:
    case Call::cuModuleLoadDataEx:
    case Call::cuModuleUnload: case Call::cuStreamSynchronize: case Call::cuStreamQuery: case Call::cuEventSynchronize:
    case Call::cuEventQuery: case Call::cuStreamDestroy_v2: case Call::cuEventDestroy_v2:
      return true;
    default:
      return false;
  }
}

// Never destroyed: threads may still call while the process ends.
Driver& Driver::instance() {
  static Driver* const driver = new Driver();
  return *driver;
}

Driver::Driver() { reset(configFromEnvironment()); }

void Driver::reset(const Config& next) {
  epoch++;
  config = next;
  initialised = false;
  calls.fill(0);
  injections.clear();
  devices.clear();
  for (const DeviceConfig& device : config.devices) devices.push_back(Device{device, 0, 0, CUDA_SUCCESS});
  for (const auto& entry : std::map<uint64_t, Mapping>(addresses.all())) addresses.remove(entry.first);
  contexts.clear();
  streams.clear();
  events.clear();
  captures.clear();
  graphs.clear();
  modules.clear();
  functions.clear();
  physical.clear();
  reservations.clear();
  pinned.clear();
  abandoned = 0;
  waitsOnEventLoop = 0;
  bytesToHost = 0;
  captureMode() = CU_STREAM_CAPTURE_MODE_GLOBAL;
  lastFault.clear();
}

Live Driver::live() const {
  Live live;
  for (const auto& entry : const_cast<AddressSpace&>(addresses).all()) (entry.second.plain ? live.memory : live.mappings)++;
  live.physical = physical.size();
  live.reservations = reservations.size();
  live.pinned = pinned.size();
  live.events = events.size();
  live.modules = modules.size();
  live.contexts = contexts.size();
  live.streams = streams.size() - contexts.size();  // every context has its own default stream
  live.abandoned = abandoned;
  return live;
}

size_t Driver::pendingCopies() const {
  size_t count = 0;
  for (const auto& entry : streams)
    for (const Work& work : entry.second.queue) count += work.copy ? 1 : 0;
  return count;
}

bool Driver::isCopied(uint64_t besides, CUdeviceptr device, size_t bytes) const {
  for (const auto& [number, stream] : streams) {
    if (number == besides) continue;
    for (const Work& work : stream.queue) {
      if (work.device < device + bytes && device < work.device + work.hostBytes) return true;
    }
  }
  return false;
}

CUuuid Driver::uuidOf(int device) const {
  CUuuid uuid{};
  uint64_t mixed = 0xcbf29ce484222325u + static_cast<uint64_t>(device);
  for (char c : devices[static_cast<size_t>(device)].config.name)
    mixed = (mixed ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  for (unsigned char& byte : uuid.bytes) {
    mixed = mixed * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<unsigned char>(mixed >> 56);
  }
  return uuid;
}

std::vector<std::shared_ptr<Physical>> Driver::allocations() {
  std::map<uint64_t, std::shared_ptr<Physical>> ordered;
  for (const auto& entry : addresses.all())
    if (entry.second.plain) ordered[entry.second.number] = entry.second.physical;
  for (const auto& entry : physical) ordered[entry.second.number] = entry.second.physical;
  std::vector<std::shared_ptr<Physical>> list;
  for (const auto& entry : ordered) {
    // Memory imported into its own process has a second handle.
    if (std::find(list.begin(), list.end(), entry.second) == list.end()) list.push_back(entry.second);
  }
  return list;
}

uint64_t Driver::freeBytes(int device) const {
  const Device& d = devices[static_cast<size_t>(device)];
  const uint64_t used = d.usedBytes + d.config.usedByOthers;
  return used >= d.config.totalBytes ? 0 : d.config.totalBytes - used;
}

bool Driver::hasRoom(int device, uint64_t bytes) const { return bytes <= freeBytes(device); }

void Driver::makeSticky(uint64_t context, CUresult result, const std::string& message) {
  const auto found = contexts.find(context);
  if (found == contexts.end() || found->second.sticky != CUDA_SUCCESS) return;
  found->second.sticky = result;
  lastFault = message;
  for (auto& entry : streams)
    if (entry.second.context == context) entry.second.queue.clear();
}

CUresult Driver::drain(uint64_t stream, uint64_t number) {
  const auto found = streams.find(stream);
  if (found == streams.end()) return CUDA_SUCCESS;
  const uint64_t context = found->second.context;
  while (true) {
    // Looked up again for each piece of work, because a fault clears all queues.
    Stream& s = streams[stream];
    if (s.queue.empty() || s.queue.front().number > number) break;
    const Work work = std::move(s.queue.front());
    s.queue.pop_front();
    const Outcome outcome = work.run();
    if (outcome.result != CUDA_SUCCESS) {
      makeSticky(context, outcome.result, outcome.message);
      return outcome.result;
    }
  }
  return contexts[context].sticky;
}

CUresult Driver::drainContext(uint64_t context) {
  std::vector<uint64_t> mine;
  for (const auto& entry : streams)
    if (entry.second.context == context) mine.push_back(entry.first);
  for (uint64_t stream : mine) {
    const CUresult result = drain(stream, UINT64_MAX);
    if (result != CUDA_SUCCESS) return result;
  }
  return contexts[context].sticky;
}

CUresult Driver::drainBlocking(uint64_t context) {
  std::vector<uint64_t> mine;
  for (const auto& entry : streams)
    if (entry.second.context == context && entry.second.blocking) mine.push_back(entry.first);
  for (uint64_t stream : mine) {
    const CUresult result = drain(stream, UINT64_MAX);
    if (result != CUDA_SUCCESS) return result;
  }
  return CUDA_SUCCESS;
}

void Driver::enqueue(uint64_t stream, Work work) {
  Stream& s = streams[stream];
  if (s.capture != 0) {
    captures[s.capture].nodes++;
    return;
  }
  work.number = s.next++;
  s.polled = false;
  const bool now = work.copy && !config.deferCopies;
  const uint64_t number = work.number;
  s.queue.push_back(std::move(work));
  if (now) drain(stream, number);
}

void Driver::destroyContext(uint64_t context) {
  const int device = contexts[context].device;
  const uint64_t defaultStream = contexts[context].defaultStream;
  streams.erase(defaultStream);
  const auto removeOwned = [&](auto& table) {
    for (auto entry = table.begin(); entry != table.end();) {
      if (entry->second.context != context) {
        ++entry;
        continue;
      }
      abandoned++;
      entry = table.erase(entry);
    }
  };
  removeOwned(streams);
  removeOwned(events);
  removeOwned(modules);
  removeOwned(pinned);
  for (const auto& entry : std::map<uint64_t, Mapping>(addresses.all())) {
    const Mapping& mapping = entry.second;
    if (!mapping.plain || mapping.context != context) continue;
    devices[static_cast<size_t>(device)].usedBytes -= mapping.physical->pages.size();
    addresses.remove(entry.first);
    abandoned++;
  }
  for (auto entry = captures.begin(); entry != captures.end();)
    entry = entry->second.context == context ? captures.erase(entry) : std::next(entry);
  contexts.erase(context);
  devices[static_cast<size_t>(device)].context = 0;
}

Mapping* Driver::range(uint64_t address, uint64_t bytes) {
  Mapping* mapping = addresses.around(address);
  if (mapping == nullptr || bytes > mapping->bytes - (address - mapping->begin)) return nullptr;
  return mapping;
}

std::vector<Window> Driver::windows(int device) {
  std::vector<Window> list;
  for (const auto& entry : addresses.all()) {
    const Mapping& m = entry.second;
    if (m.physical->device != device) continue;
    list.push_back(Window{m.begin, m.begin + m.bytes, m.physical->pages.data() + m.offset, m.readable, m.writable});
  }
  return list;
}

}  // namespace emulator

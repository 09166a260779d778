#include "driver.h"

#include <dlfcn.h>

#include <cstdio>

#include "loaded_files.h"

namespace vram {

namespace {

constexpr char kSystemDriver[] = "libcuda.so.1";

// The notation of the vendor's own tools: GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx.
std::string uuidText(const CUuuid& uuid) {
  std::string text = "GPU-";
  for (int i = 0; i < 16; i++) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", uuid.bytes[i]);
    text += digits;
    if (i == 3 || i == 5 || i == 7 || i == 9) text += '-';
  }
  return text;
}

}  // namespace

Status Driver::load(const std::string& path, std::shared_ptr<Driver>& out) {
  const std::string asked = path.empty() ? kSystemDriver : path;
  // Never closed: a driver starts threads and registers exit handlers.
  void* library = dlopen(asked.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    return Status::fail(Failure::kNoDriver, reason == nullptr ? asked : reason);
  }
  std::shared_ptr<Driver> driver(new Driver());
#define VRAM_LOOK_UP(name)                                                                  \
  driver->functions_.name = reinterpret_cast<name##Function>(dlsym(library, #name));        \
  if (driver->functions_.name == nullptr) {                                                 \
    return Status::fail(Failure::kNoDriver, asked + " has no function " #name);             \
  }
  VRAM_USED_FUNCTIONS(VRAM_LOOK_UP)
#undef VRAM_LOOK_UP
  const std::vector<std::string> files = loadedFrom({reinterpret_cast<const void*>(driver->functions_.cuInit)});
  driver->path_ = files.empty() ? asked : files.front();
  driver->emulated_ = dlsym(library, "vrEmulator") != nullptr;
  VRAM_TRY(VRAM_CALL(*driver, cuInit, 0));
  VRAM_TRY(VRAM_CALL(*driver, cuDriverGetVersion, &driver->version_));
  out = std::move(driver);
  return {};
}

std::vector<std::string> Driver::files() const {
  std::vector<const void*> places;
#define VRAM_PLACE(name) places.push_back(reinterpret_cast<const void*>(functions_.name));
  VRAM_USED_FUNCTIONS(VRAM_PLACE)
#undef VRAM_PLACE
  // Excludes libcudart and similar libraries, which other users in the process have loaded.
  for (const void* place : librariesNamed({"libcuda.so", "libcudadebugger.so", "libnvidia-"})) places.push_back(place);
  return loadedFrom(places);
}

Status Driver::check(CUresult result, const char* call) const {
  if (result == CUDA_SUCCESS) return {};
  Status status;
  status.failure = Failure::kDriver;
  status.result = result;
  status.call = call;
  const char* name = nullptr;
  if (functions_.cuGetErrorName(result, &name) == CUDA_SUCCESS && name != nullptr) status.name = name;
  return status;
}

Status Driver::attribute(int attribute, CUdevice device, int& out) const {
  return VRAM_CALL(*this, cuDeviceGetAttribute, &out, attribute, device);
}

Status Driver::devices(std::vector<DeviceRecord>& out) const {
  int count = 0;
  VRAM_TRY(VRAM_CALL(*this, cuDeviceGetCount, &count));
  for (int index = 0; index < count; index++) {
    DeviceRecord record;
    VRAM_TRY(describe(index, record));
    out.push_back(std::move(record));
  }
  return {};
}

Status Driver::describe(int index, DeviceRecord& out) const {
  CUdevice device = 0;
  VRAM_TRY(VRAM_CALL(*this, cuDeviceGet, &device, index));
  out.index = index;
  char text[256] = "";
  VRAM_TRY(VRAM_CALL(*this, cuDeviceGetName, text, static_cast<int>(sizeof text) - 1, device));
  out.name = text;
  CUuuid uuid{};
  VRAM_TRY(VRAM_CALL(*this, cuDeviceGetUuid_v2, &uuid, device));
  out.uuid = uuidText(uuid);
  char pci[64] = "";
  VRAM_TRY(VRAM_CALL(*this, cuDeviceGetPCIBusId, pci, static_cast<int>(sizeof pci) - 1, device));
  out.pciBusId = pci;
  std::size_t total = 0;
  VRAM_TRY(VRAM_CALL(*this, cuDeviceTotalMem_v2, &total, device));
  out.totalBytes = total;
  VRAM_TRY(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device, out.major));
  VRAM_TRY(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device, out.minor));
  const struct {
    int attribute;
    bool* out;
  } flags[] = {
      {CU_DEVICE_ATTRIBUTE_INTEGRATED, &out.integrated},
      {CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, &out.managedMemory},
      {CU_DEVICE_ATTRIBUTE_ECC_ENABLED, &out.eccEnabled},
      {CU_DEVICE_ATTRIBUTE_TCC_DRIVER, &out.tccDriver},
      {CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, &out.virtualMemory},
  };
  for (const auto& flag : flags) {
    int value = 0;
    VRAM_TRY(attribute(flag.attribute, device, value));
    *flag.out = value != 0;
  }
  return {};
}

}  // namespace vram

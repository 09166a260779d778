#include <algorithm>
#include <cstring>

#include "call.h"
#include "fatbin.h"

using namespace emulator;

namespace {

// The newest PTX that a driver of this CUDA version reads, as major * 10 + minor. From the release notes of the PTX manual.
int newestPtx(int driverVersion) {
  const int major = driverVersion / 1000, minor = driverVersion % 1000 / 10;
  if (major <= 10) return 65;
  if (major == 11) return 70 + std::min(minor, 8);
  if (major == 12) return minor <= 5 ? 80 + minor : 80 + std::min(minor - 1, 8);
  return 90 + minor;
}

struct Log {
  char* buffer = nullptr;
  size_t bytes = 0;
};

void tell(const Log& log, const std::string& text) {
  if (log.buffer == nullptr || log.bytes == 0) return;
  const size_t kept = std::min(text.size(), log.bytes - 1);
  std::memcpy(log.buffer, text.data(), kept);
  log.buffer[kept] = '\0';
}

CUresult load(Driver& driver, uint64_t handle, const Context& context, CUmodule* module, const void* image, const Log& log) {
  if (module == nullptr || image == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const DeviceConfig& device = driver.devices[static_cast<size_t>(context.device)].config;
  auto program = std::make_shared<Program>();
  try {
    if (isFatbin(image)) {
      const std::optional<std::string> ptx = ptxOf(image, device.major * 10 + device.minor);
      if (!ptx.has_value()) {
        tell(log, "ptx emulator: no uncompressed PTX for this device in the fat binary");
        return CUDA_ERROR_NO_BINARY_FOR_GPU;
      }
      *program = parseProgram(*ptx);
    } else {
      const char* text = static_cast<const char*>(image);
      if (std::strncmp(text, "\x7f" "ELF", 4) == 0) {
        tell(log, "machine code cannot be emulated, only PTX");
        return CUDA_ERROR_INVALID_IMAGE;
      }
      *program = parseProgram(text);
    }
  } catch (const FatbinError& error) {
    tell(log, std::string("ptx emulator: ") + error.what());
    driver.lastFault = error.what();
    return CUDA_ERROR_INVALID_IMAGE;
  } catch (const PtxError& error) {
    tell(log, std::string("ptx emulator: ") + error.what());
    driver.lastFault = error.what();
    return CUDA_ERROR_INVALID_PTX;
  }
  if (program->versionMajor * 10 + program->versionMinor > newestPtx(driver.config.driverVersion)) {
    tell(log, "ptx emulator: PTX " + std::to_string(program->versionMajor) + "." + std::to_string(program->versionMinor) +
                  " is newer than a driver for CUDA " + std::to_string(driver.config.driverVersion / 1000) + "." +
                  std::to_string(driver.config.driverVersion % 1000 / 10) + " reads");
    return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
  }
  if (program->target > device.major * 10 + device.minor) {
    tell(log, "ptx emulator: written for sm_" + std::to_string(program->target) + ", the device is older");
    return CUDA_ERROR_NO_BINARY_FOR_GPU;
  }
  const uint64_t number = driver.newHandle();
  driver.modules[number] = Module{handle, program};
  *module = handleOf<CUmodule>(number);
  return CUDA_SUCCESS;
}

bool rightShape(const Kernel& kernel, const uint32_t (&grid)[3], const uint32_t (&block)[3], CUresult& why) {
  const uint64_t threads = uint64_t{block[0]} * block[1] * block[2];
  const bool empty = grid[0] == 0 || grid[1] == 0 || grid[2] == 0 || threads == 0;
  const bool large =
      grid[0] > 0x7fffffff || grid[1] > 65535 || grid[2] > 65535 || block[0] > 1024 || block[1] > 1024 || block[2] > 64;
  if (empty || large || threads > 1024) why = CUDA_ERROR_INVALID_VALUE;
  else if (threads > kernel.maxThreads) why = CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
  else return true;
  return false;
}

}  // namespace

VR_EXPORT CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned count, int* options, void** values) {
  return enterContext(Call::cuModuleLoadDataEx, [&](Driver& driver, uint64_t handle, Context& context) -> CUresult {
    if (count > 0 && (options == nullptr || values == nullptr)) return CUDA_ERROR_INVALID_VALUE;
    Log log;
    for (unsigned k = 0; k < count; k++) {
      if (options[k] == CU_JIT_ERROR_LOG_BUFFER) log.buffer = static_cast<char*>(values[k]);
      if (options[k] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES) log.bytes = reinterpret_cast<size_t>(values[k]);
    }
    if (log.buffer != nullptr && log.bytes > 0) log.buffer[0] = '\0';
    return load(driver, handle, context, module, image, log);
  });
}

VR_EXPORT CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  return enterContext(Call::cuModuleLoadData, [&](Driver& driver, uint64_t handle, Context& context) {
    return load(driver, handle, context, module, image, Log{});
  });
}

VR_EXPORT CUresult cuModuleUnload(CUmodule module) {
  return enterContext(Call::cuModuleUnload, [&](Driver& driver, uint64_t, Context&) -> CUresult {
    const uint64_t number = numberOf(module);
    if (driver.modules.erase(number) == 0) return CUDA_ERROR_INVALID_HANDLE;
    for (auto entry = driver.functions.begin(); entry != driver.functions.end();)
      entry = entry->second.module == number ? driver.functions.erase(entry) : std::next(entry);
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  return enterContext(Call::cuModuleGetFunction, [&](Driver& driver, uint64_t, Context&) -> CUresult {
    if (function == nullptr || name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto found = driver.modules.find(numberOf(module));
    if (found == driver.modules.end()) return CUDA_ERROR_INVALID_HANDLE;
    const auto kernel = found->second.program->kernels.find(name);
    if (kernel == found->second.program->kernels.end()) return CUDA_ERROR_NOT_FOUND;
    const uint64_t number = driver.newHandle();
    driver.functions[number] = Function{found->first, found->second.program, kernel->second};
    *function = handleOf<CUfunction>(number);
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuFuncGetAttribute(int* value, int attribute, CUfunction function) {
  return enterContext(Call::cuFuncGetAttribute, [&](Driver& driver, uint64_t, Context& context) -> CUresult {
    const auto found = driver.functions.find(numberOf(function));
    if (found == driver.functions.end()) return CUDA_ERROR_INVALID_HANDLE;
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const Kernel& kernel = *found->second.kernel;
    const DeviceConfig& device = driver.devices[static_cast<size_t>(context.device)].config;
    switch (attribute) {
      case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = static_cast<int>(kernel.maxThreads); break;
      case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES: *value = static_cast<int>(kernel.sharedBytes); break;
      case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES: case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES: *value = 0; break;
      case CU_FUNC_ATTRIBUTE_NUM_REGS: *value = static_cast<int>(std::min(kernel.placedRegisters, 255u)); break;
      case CU_FUNC_ATTRIBUTE_PTX_VERSION: *value = found->second.program->target; break;
      case CU_FUNC_ATTRIBUTE_BINARY_VERSION: *value = device.major * 10 + device.minor; break;
      default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
  });
}

VR_EXPORT CUresult cuLaunchKernel(CUfunction function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX,
                                  unsigned blockY, unsigned blockZ, unsigned sharedBytes, CUstream stream,
                                  void** parameters, void** extra) {
  return enterContext(Call::cuLaunchKernel, [&](Driver& driver, uint64_t handle, Context& context) -> CUresult {
    const auto found = driver.functions.find(numberOf(function));
    if (found == driver.functions.end()) return CUDA_ERROR_INVALID_HANDLE;
    uint64_t number = 0;
    const CUresult refused = driver.streamOf(handle, stream, number);
    if (refused != CUDA_SUCCESS) return refused;
    const Function& f = found->second;
    if (driver.modules[f.module].context != handle) return CUDA_ERROR_INVALID_HANDLE;
    Launch launch{f.kernel.get(),           {}, {gridX, gridY, gridZ},
                  {blockX, blockY, blockZ}, {}, driver.config.instructionBudget,
                  driver.config.workers};
    CUresult why = CUDA_SUCCESS;
    if (!rightShape(*f.kernel, launch.grid, launch.block, why)) return why;
    if (sharedBytes != 0 || extra != nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!f.kernel->parameters.empty() && parameters == nullptr) return CUDA_ERROR_INVALID_VALUE;
    launch.parameters.resize(f.kernel->parameterBytes);
    for (size_t k = 0; k < f.kernel->parameters.size(); k++) {
      const Parameter& p = f.kernel->parameters[k];
      if (parameters[k] == nullptr) return CUDA_ERROR_INVALID_VALUE;
      std::memcpy(launch.parameters.data() + p.offset, parameters[k], p.bytes);
    }
    Work work;
    work.run = [launch, kernel = f.kernel, device = context.device]() mutable {
      launch.windows = Driver::instance().windows(device);  // as they are when it runs
      return execute(launch);
    };
    driver.enqueue(number, std::move(work));
    return CUDA_SUCCESS;
  });
}

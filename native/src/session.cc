#include "session.h"

#include <array>
#include <utility>

namespace vram {

namespace {

constexpr std::size_t kJitLogBytes = 4096;
// Regions in plain memory are rounded up to the unit of hashing.
constexpr std::size_t kPlainGranularity = 4096;

Status closedStatus(const char* what) { return Status::fail(Failure::kClosed, std::string("the ") + what + " is closed"); }

}  // namespace

Status Session::open(std::size_t stagingBytes) {
  Status status = start(stagingBytes);
  if (!status.ok()) {
    // The first failure is reported.
    static_cast<void>(close());
  }
  return status;
}

Status Session::start(std::size_t stagingBytes) {
  VRAM_TRY(VRAM_CALL(*driver_, cuDeviceGet, &device_, index_));
  VRAM_TRY(VRAM_CALL(*driver_, cuDevicePrimaryCtxRetain, &context_, device_));
  VRAM_TRY(VRAM_CALL(*driver_, cuCtxSetCurrent, context_));
  int supported = 0;
  VRAM_TRY(driver_->attribute(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, device_, supported));
  virtualMemory_ = supported != 0;
  granularity_ = kPlainGranularity;
  if (virtualMemory_) {
    VRAM_TRY(granularityOf(MemoryKind::kVirtual, granularity_));
    VRAM_TRY(driver_->attribute(CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, device_, supported));
    shareable_ = supported != 0;
  }
  VRAM_TRY(VRAM_CALL(*driver_, cuStreamCreate, &compute_, CU_STREAM_NON_BLOCKING));
  return staging_->open(stagingBytes);
}

Status Session::granularityOf(MemoryKind kind, std::size_t& out) const {
  const CUmemAllocationProp properties = propertiesOf(kind, device_);
  return VRAM_CALL(*driver_, cuMemGetAllocationGranularity, &out, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM);
}

Status Session::close() {
  if (closed()) return {};
  Status first;
  for (const std::shared_ptr<Memory>& memory : memories_) {
    if (memory->usable()) first.keep(memory->isPrivate() ? wipe(memory) : settle(*memory));
    first.keep(memory->release());
    if (!memory->empty()) static_cast<void>(memory->release());
  }
  memories_.clear();
  // Modules, streams and pinned buffers are released even when an error is returned, and any remainder with the context.
  for (const std::shared_ptr<Module>& module : modules_) {
    if (module->module == nullptr) continue;
    first.keep(VRAM_CALL(*driver_, cuModuleUnload, std::exchange(module->module, nullptr)));
  }
  modules_.clear();
  first.keep(staging_->close());
  if (compute_ != nullptr) first.keep(VRAM_CALL(*driver_, cuStreamDestroy_v2, std::exchange(compute_, nullptr)));
  context_ = nullptr;
  first.keep(VRAM_CALL(*driver_, cuDevicePrimaryCtxRelease_v2, device_));
  return first;
}

Status Session::memoryInfo(uint64_t& freeBytes, uint64_t& totalBytes) const {
  if (closed()) return closedStatus("device");
  std::size_t free = 0;
  std::size_t total = 0;
  VRAM_TRY(VRAM_CALL(*driver_, cuMemGetInfo_v2, &free, &total));
  freeBytes = free;
  totalBytes = total;
  return {};
}

template <typename Take>
Status Session::take(MemoryKind kind, std::size_t size, std::shared_ptr<Memory>& out, Take step) {
  auto memory = std::make_shared<Memory>(*driver_, device_, kind, size);
  // Registered before anything is allocated, so that closing the device releases it whatever fails.
  memories_.insert(memory);
  Status status = step(*memory);
  if (!status.ok()) {
    // If memory cannot be released now, closing the device tries again.
    static_cast<void>(memory->release());
    if (memory->empty()) memories_.erase(memory);
    return status;
  }
  out = std::move(memory);
  return {};
}

Status Session::allocate(MemoryKind kind, std::size_t bytes, std::shared_ptr<Memory>& out) {
  if (closed()) return closedStatus("device");
  std::size_t unit = granularity_;
  if (kind == MemoryKind::kShared) {
    if (!shareable_) {
      return Status::fail(Failure::kState, "the driver cannot export memory of this device as a file descriptor");
    }
    VRAM_TRY(granularityOf(kind, unit));
  }
  // Plain memory has exactly the requested size, so that bounds checkers detect the first byte beyond it.
  std::size_t size = bytes;
  if (kind != MemoryKind::kPlain && !roundUp(bytes, unit, size)) {
    return Status::fail(Failure::kState, "the size leaves the address range");
  }
  return take(kind, size, out, [](Memory& memory) { return memory.allocate(); });
}

Status Session::exportMemory(Memory& memory, Descriptor& out) const {
  if (closed() || !memory.usable()) return closedStatus("memory");
  return memory.exportTo(out);
}

Status Session::importMemory(const Descriptor& descriptor, std::size_t bytes, std::shared_ptr<Memory>& out, int& granted) {
  if (closed()) return closedStatus("device");
  if (!virtualMemory_) return Status::fail(Failure::kState, "the device cannot map memory of other processes");
  return take(MemoryKind::kImported, bytes, out, [&](Memory& memory) { return memory.import(descriptor, granted); });
}

Status Session::wipe(const std::shared_ptr<Memory>& memory) {
  // A copy that is still under way would write after the zeros.
  Status first = drain(*memory);
  if (!memory->writable()) {
    int granted = 0;
    first.keep(memory->protect(false, granted));
    if (!memory->writable()) return first;
  }
  first.keep(VRAM_CALL(*driver_, cuMemsetD8Async, memory->at(0), 0, memory->size(), compute_));
  first.keep(VRAM_CALL(*driver_, cuStreamSynchronize, compute_));
  return first;
}

Status Session::settle(Memory& memory) {
  Status first = drain(memory);
  first.keep(synchronize());
  return first;
}

Status Session::release(const std::shared_ptr<Memory>& memory, bool wiped) {
  if (closed() || memory->empty()) return {};
  Status first;
  if (memory->usable()) first.keep(wiped && memory->kind() != MemoryKind::kImported ? wipe(memory) : settle(*memory));
  first.keep(memory->release());
  if (memory->empty()) memories_.erase(memory);
  return first;
}

Status Session::pointerInfo(const Memory& memory, unsigned& memoryType, unsigned& managed) const {
  if (closed() || !memory.usable()) return closedStatus("memory");
  VRAM_TRY(VRAM_CALL(*driver_, cuPointerGetAttribute, &memoryType, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, memory.at(0)));
  return VRAM_CALL(*driver_, cuPointerGetAttribute, &managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, memory.at(0));
}

Status Session::write(const std::shared_ptr<Memory>& memory, std::size_t offset, Upload& upload) {
  if (closed() || !memory->usable()) return closedStatus("memory");
  return staging_->write(memory, offset, upload);
}

Status Session::drain(Memory& memory) {
  if (closed() || !memory.usable()) return closedStatus("memory");
  staging_->drain();
  return std::exchange(memory.pending, Status{});
}

Status Session::read(Memory& memory, std::size_t offset, uint8_t* to, std::size_t length) {
  if (closed() || !memory.usable()) return closedStatus("memory");
  VRAM_TRY(synchronize());
  return staging_->read(memory, offset, to, length);
}

Status Session::protect(Memory& memory, bool readOnly, int& granted) {
  if (closed() || !memory.usable()) return closedStatus("memory");
  // A failed copy is reported but does not prevent the memory from being protected.
  Status first = drain(memory);
  first.keep(memory.protect(readOnly, granted));
  return first;
}

Status Session::fill(Memory& memory, std::size_t offset, std::size_t length, unsigned char value) {
  if (closed() || !memory.usable()) return closedStatus("memory");
  if (!memory.writable()) return Status::fail(Failure::kState, "the memory is mapped read-only");
  return VRAM_CALL(*driver_, cuMemsetD8Async, memory.at(offset), value, length, compute_);
}

Status Session::copy(Memory& to, std::size_t toOffset, const Memory& from, std::size_t fromOffset, std::size_t length) {
  if (closed() || !to.usable() || !from.usable()) return closedStatus("memory");
  if (!to.writable()) return Status::fail(Failure::kState, "the memory is mapped read-only");
  return VRAM_CALL(*driver_, cuMemcpyDtoDAsync_v2, to.at(toOffset), from.at(fromOffset), length, compute_);
}

Status Session::synchronize() {
  if (closed()) return closedStatus("device");
  return VRAM_CALL(*driver_, cuStreamSynchronize, compute_);
}

Status Session::loadModule(const std::string& image, std::shared_ptr<Module>& out) {
  if (closed()) return closedStatus("device");
  std::array<char, kJitLogBytes> log{};
  int options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log.data(), reinterpret_cast<void*>(static_cast<uintptr_t>(log.size() - 1))};
  auto module = std::make_shared<Module>();
  // Before it is loaded: see allocate().
  modules_.insert(module);
  Status status = VRAM_CALL(*driver_, cuModuleLoadDataEx, &module->module, image.c_str(), 2, options, values);
  if (!status.ok()) {
    modules_.erase(module);
    log.back() = '\0';
    status.detail = log.data();
    return status;
  }
  out = std::move(module);
  return {};
}

Status Session::unloadModule(const std::shared_ptr<Module>& module) {
  if (closed() || module->module == nullptr) return {};
  modules_.erase(module);
  return VRAM_CALL(*driver_, cuModuleUnload, std::exchange(module->module, nullptr));
}

Status Session::launch(Module& module, const Launch& launch) {
  if (closed() || module.module == nullptr) return closedStatus("module");
  auto found = module.functions.find(launch.entry);
  if (found == module.functions.end()) {
    CUfunction function = nullptr;
    VRAM_TRY(VRAM_CALL(*driver_, cuModuleGetFunction, &function, module.module, launch.entry.c_str()));
    found = module.functions.emplace(launch.entry, function).first;
  }
  std::vector<uint64_t> values;
  values.reserve(launch.arguments.size());
  for (const Argument& argument : launch.arguments) {
    if (argument.memory != nullptr) {
      if (!argument.memory->usable()) return closedStatus("memory");
      values.push_back(argument.memory->at(argument.offset));
    } else {
      values.push_back(argument.value);
    }
  }
  std::vector<void*> parameters;
  parameters.reserve(values.size());
  for (uint64_t& value : values) parameters.push_back(&value);
  return VRAM_CALL(*driver_, cuLaunchKernel, found->second, launch.grid[0], launch.grid[1], launch.grid[2], launch.block[0],
                   launch.block[1], launch.block[2], 0, compute_, parameters.data(), nullptr);
}

}  // namespace vram

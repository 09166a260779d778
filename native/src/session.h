// One opened device: its primary context, one thread that makes every call to it, its streams, and everything allocated
// on it.
#ifndef VRAM_RESIDENCY_SESSION_H
#define VRAM_RESIDENCY_SESSION_H

#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "memory.h"
#include "staging.h"
#include "worker.h"

namespace vram {

// Loaded kernels. Belongs to the session's worker thread.
struct Module {
  CUmodule module = nullptr;
  std::map<std::string, CUfunction> functions;
};

// A kernel argument: bytes in the driver's layout, or a place in memory.
struct Argument {
  std::shared_ptr<Memory> memory;
  std::size_t offset = 0;
  std::size_t length = 0;
  uint64_t value = 0;
};

struct Launch {
  std::string entry;
  std::array<unsigned, 3> grid{};
  std::array<unsigned, 3> block{};
  std::vector<Argument> arguments;
};

class Session {
 public:
  Session(std::shared_ptr<Driver> driver, int index)
      : driver_(std::move(driver)), index_(index), staging_(std::make_shared<Staging>(*driver_)) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // The thread on which every method below runs unless stated otherwise.
  Worker worker;

  // On failure everything allocated is released.
  Status open(std::size_t stagingBytes);
  // Wipes and releases everything; reports the first failure. The session is closed in any case. Exported memory is not
  // wiped: other processes may use it.
  Status close();
  bool closed() const { return context_ == nullptr; }

  std::size_t granularity() const { return granularity_; }
  bool virtualMemory() const { return virtualMemory_; }
  // Memory can be exported to other processes.
  bool shareable() const { return shareable_; }
  std::size_t stagingBytes() const { return staging_->size(); }

  Status memoryInfo(uint64_t& freeBytes, uint64_t& totalBytes) const;
  Status allocate(MemoryKind kind, std::size_t bytes, std::shared_ptr<Memory>& out);
  // Frees, after overwriting with zeros, read-only or not, unless `wiped` is false or the bytes are another process's.
  Status release(const std::shared_ptr<Memory>& memory, bool wiped);
  // A new descriptor of kShared memory, for one process.
  Status exportMemory(Memory& memory, Descriptor& out) const;
  // Maps `bytes` of another process's memory, read-only; `granted`: the rights that the driver reports.
  Status importMemory(const Descriptor& descriptor, std::size_t bytes, std::shared_ptr<Memory>& out, int& granted);
  Status pointerInfo(const Memory& memory, unsigned& memoryType, unsigned& managed) const;

  // Copies bytes, at most stagingBytes(), for a write. On JavaScript's thread, like retire(), which precedes close().
  std::shared_ptr<Upload> stage(const void* bytes, std::size_t length) { return staging_->stage(bytes, length); }
  void retire() { staging_->retire(); }
  // The same for bytes that threads copy in; see Staging.
  std::shared_ptr<Upload> reserve(std::size_t length) { return staging_->reserve(length); }
  void submit(const std::shared_ptr<Upload>& upload) { staging_->submit(upload); }
  void withdraw(const std::shared_ptr<Upload>& upload) { staging_->withdraw(upload); }
  Status write(const std::shared_ptr<Memory>& memory, std::size_t offset, Upload& upload);
  // Waits for the copies to `memory`, wipes the staging buffers, and reports the first failure since the last call.
  Status drain(Memory& memory);
  Status read(Memory& memory, std::size_t offset, uint8_t* to, std::size_t length);
  // Waits for the copies to `memory` first, which would fail under the new rights.
  Status protect(Memory& memory, bool readOnly, int& granted);
  Status fill(Memory& memory, std::size_t offset, std::size_t length, unsigned char value);
  Status copy(Memory& to, std::size_t toOffset, const Memory& from, std::size_t fromOffset, std::size_t length);
  Status synchronize();

  // `image` is PTX text or a fat binary; the driver has read it when this returns.
  Status loadModule(const std::string& image, std::shared_ptr<Module>& out);
  Status unloadModule(const std::shared_ptr<Module>& module);
  Status launch(Module& module, const Launch& launch);

 private:
  Status start(std::size_t stagingBytes);
  Status wipe(const std::shared_ptr<Memory>& memory);
  // Waits for work on the memory, which would fault once it is unmapped.
  Status settle(Memory& memory);
  Status granularityOf(MemoryKind kind, std::size_t& out) const;
  // Registers and allocates the memory, and releases the remains of a failure.
  template <typename Take>
  Status take(MemoryKind kind, std::size_t size, std::shared_ptr<Memory>& out, Take step);

  const std::shared_ptr<Driver> driver_;
  const int index_;
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
  // Kernels, fills and copies within the device.
  CUstream compute_ = nullptr;
  const std::shared_ptr<Staging> staging_;
  std::size_t granularity_ = 0;
  bool virtualMemory_ = false;
  bool shareable_ = false;
  std::set<std::shared_ptr<Memory>> memories_;
  std::set<std::shared_ptr<Module>> modules_;
};

}  // namespace vram

#endif

// The emulated driver's state. One lock guards all of it: tests check order and ownership, not parallel speed.
#ifndef VRAM_RESIDENCY_EMULATOR_DRIVER_H
#define VRAM_RESIDENCY_EMULATOR_DRIVER_H

#include <sys/types.h>

#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "emulated_api.h"
#include "execute.h"
#include "memory.h"

namespace emulator {

enum class Call {
#define VR_CALL(name, parameters) name,
  VR_EMULATED_FUNCTIONS(VR_CALL)
#undef VR_CALL
  Count
};
const char* nameOf(Call call);
// Count for an unknown name.
Call callNamed(const std::string& name);
// These free something. Like the real driver's, they do so even when they report an error.
bool releases(Call call);
// These allocate, free, or wait: not allowed beside a capture, unless the thread's mode is relaxed. The documentation does
// not list them; this list is meant to be longer than the real driver's, never shorter.
bool unsafeInCapture(Call call);

struct DeviceConfig {
  std::string name = "Emulated GPU";
  int major = 9, minor = 0;
  bool integrated = false, managed = false, ecc = true, vmm = true, tcc = false;
  bool posixHandles = true;  // memory can be exported as a descriptor
  unsigned memoryType = CU_MEMORYTYPE_DEVICE;  // what pointer attributes report for allocations
  uint64_t totalBytes = uint64_t{4} << 30;
  uint64_t usedByOthers = 0;
  int multiprocessors = 4;
};

struct Config {
  std::vector<DeviceConfig> devices{DeviceConfig{}};
  int driverVersion = 12080;
  CUresult initResult = CUDA_SUCCESS;
  bool deferCopies = true;
  bool ignoreReadOnly = false;  // cuMemSetAccess to read-only leaves memory writable
  uint64_t granularity = 2u << 20;
  uint64_t instructionBudget = 400'000'000;
  unsigned workers = 2;
};

// Settings as text, `driverVersion=11080;devices=2;ecc=0`: the device's keys apply to all devices. Returns the first key
// that does not exist, or an empty string; what is left out stays as it is in `config`.
std::string applySettings(const char* text, Config& config);

struct Work {
  uint64_t number = 0;
  bool copy = false;
  const uint8_t* host = nullptr;  // pinned memory that the work will touch
  size_t hostBytes = 0;
  CUdeviceptr device = 0;  // what a copy to or from the host touches, `hostBytes` of it
  std::function<Outcome()> run;
};

struct Stream {
  uint64_t context = 0;
  bool blocking = true;  // takes part in the default stream's ordering
  bool polled = false;
  uint64_t capture = 0;  // the capture that takes this stream's work, 0: none
  uint64_t next = 1;
  std::deque<Work> queue;
};

struct Event {
  uint64_t context = 0;
  uint64_t stream = 0;
  uint64_t number = 0;   // the last work before the record; 0: nothing to wait for
  uint64_t capture = 0;  // last recorded in this capture, 0: outside of every one
  bool polled = false;
  bool timed = true;
  bool reached = false;  // the stream has come to the record
  std::chrono::steady_clock::time_point at;
};

// A stream capture: work is recorded instead of executed. Only its size is stored; graphs cannot be launched here.
struct Capture {
  uint64_t context = 0;
  uint64_t origin = 0;  // the stream that it was begun in
  int mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  std::thread::id thread;
  bool invalidated = false;
  size_t nodes = 0;
};

struct Module {
  uint64_t context = 0;
  std::shared_ptr<Program> program;
};

struct Function {
  uint64_t module = 0;
  std::shared_ptr<Program> program;
  std::shared_ptr<Kernel> kernel;
};

struct Context {
  int device = 0;
  unsigned retained = 0;
  CUresult sticky = CUDA_SUCCESS;
  uint64_t defaultStream = 0;
};

struct Device {
  DeviceConfig config;
  uint64_t context = 0;      // the primary one, 0 while not retained
  uint64_t usedBytes = 0;
  CUresult lost = CUDA_SUCCESS;
};

struct PhysicalHandle {
  std::shared_ptr<Physical> physical;
  uint64_t number = 0;
};

struct Reservation {
  uint64_t bytes = 0;
};

struct Pinned {
  std::unique_ptr<GuardedPages> pages;
  uint64_t context = 0;
};

struct Injection {
  Call call;
  uint64_t nth;        // counted from the moment of the request
  CUresult code;
  bool effect;         // the call does its work anyway
  uint64_t seen = 0;
  bool reached = false;
};

// Objects created and not released. Destroying a context destroys its objects too: those are `abandoned`.
struct Live {
  size_t memory = 0, physical = 0, reservations = 0, mappings = 0, pinned = 0, streams = 0, events = 0, modules = 0,
         contexts = 0;
  size_t abandoned = 0;
};

class Driver {
 public:
  std::recursive_mutex mutex;
  Config config;
  bool initialised = false;
  uint64_t epoch = 0;  // resets so far
  std::array<uint64_t, static_cast<size_t>(Call::Count)> calls{};
  std::vector<Injection> injections;
  std::vector<Device> devices;
  AddressSpace addresses;
  std::map<uint64_t, Context> contexts;
  std::map<uint64_t, Stream> streams;
  std::map<uint64_t, Event> events;
  std::map<uint64_t, Capture> captures;
  std::map<uint64_t, size_t> graphs;  // nodes of each
  std::map<uint64_t, Module> modules;
  std::map<uint64_t, Function> functions;
  std::map<uint64_t, PhysicalHandle> physical;
  std::map<uint64_t, Reservation> reservations;
  std::map<const uint8_t*, Pinned> pinned;
  size_t abandoned = 0;
  uint64_t waitsOnEventLoop = 0;
  uint64_t bytesToHost = 0;  // copied out of device memory, by any call
  pid_t process = 0;         // that called cuInit: after a fork the child has no driver
  std::string lastFault;

  static Driver& instance();

  void reset(const Config& next);
  uint64_t newHandle() { return handle_ += 16; }
  Live live() const;
  size_t pendingCopies() const;
  // Whether a pending copy of another stream touches these bytes.
  bool isCopied(uint64_t besides, CUdeviceptr device, size_t bytes) const;

  // Derived from the device's name and number, so that it is the same in every process.
  CUuuid uuidOf(int device) const;

  // Device memory in order of creation.
  std::vector<std::shared_ptr<Physical>> allocations();

  bool hasRoom(int device, uint64_t bytes) const;
  uint64_t freeBytes(int device) const;
  // Runs a stream's work up to and with `number`. A fault makes the context's error sticky and drops the remaining work.
  CUresult drain(uint64_t stream, uint64_t number);
  CUresult drainContext(uint64_t context);
  void enqueue(uint64_t stream, Work work);
  // The work that the default stream waits for before its own.
  CUresult drainBlocking(uint64_t context);
  void destroyContext(uint64_t context);
  void makeSticky(uint64_t context, CUresult result, const std::string& message);

  // The stream's number; null is the default stream. Errors: CUDA_ERROR_INVALID_HANDLE if this context has no such stream,
  // CUDA_ERROR_STREAM_CAPTURE_IMPLICIT if the legacy stream would wait for a captured one, which the attempt invalidates.
  CUresult streamOf(uint64_t context, CUstream stream, uint64_t& number);
  bool legacyConflict(uint64_t context) const;
  // Invalidates the captures that an unsafe call of this thread conflicts with: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED if
  // there are any.
  CUresult refuseUnsafe();
  CUresult invalidate(uint64_t capture, CUresult why);
  // For a wait on everything in the context.
  CUresult refuseCaptured(uint64_t context);

  // Device bytes for a copy or a memset: null if the range is not mapped as one. Access rights are for the caller to check.
  Mapping* range(uint64_t address, uint64_t bytes);
  std::vector<Window> windows(int device);

 private:
  Driver();
  uint64_t handle_ = 0x1000;
};

// The calling thread's stack of current contexts.
std::vector<uint64_t>& currentContexts();
// How the calling thread's calls meet captures: CU_STREAM_CAPTURE_MODE_*.
int& captureMode();
// Set on threads that run JavaScript, where waiting stops the event loop.
extern thread_local bool isEventLoop;

}  // namespace emulator

#endif

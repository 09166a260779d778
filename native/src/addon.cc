// The functions exported to JavaScript. Each one parses its arguments, checks bounds and queues the work on a thread.
// Policy is left to the caller.
#include <climits>
#include <cstring>

#include "napi_glue.h"
#include "datagram.h"
#include "digest/digest_calls.h"
#include "fatbin.h"
#include "file_lock.h"
#include "handover/descriptor_calls.h"
#include "handover/socket_calls.h"
#include "held_stderr.h"
#include "huge_pages.h"
#include "sink_calls.h"
#include "wipe.h"

namespace vram {

namespace {

constexpr uint64_t kMaxSafe = 9007199254740991u;
// Enough for every kernel parameter list: the driver accepts at most 4096 bytes of parameters.
constexpr uint32_t kMaxArguments = 512;
// Far more than kernels need: machine code for every existing architecture takes about a megabyte.
constexpr std::size_t kMaxKernelBytes = std::size_t{64} << 20;

struct MemoryRange {
  std::size_t offset;
  std::size_t length;
};

MemoryRange toRange(napi_env env, const Memory& memory, napi_value offset, napi_value length) {
  const uint64_t from = toInteger(env, offset, "offset", kMaxSafe);
  const uint64_t bytes = toInteger(env, length, "length", kMaxSafe);
  if (bytes == 0 || !inRange(from, bytes, memory.size())) throw ArgumentError{"the range is not inside the memory"};
  return {static_cast<std::size_t>(from), static_cast<std::size_t>(bytes)};
}

void sameSession(const std::shared_ptr<Session>& a, const std::shared_ptr<Session>& b) {
  if (a != b) throw ArgumentError{"the handles belong to different devices"};
}

napi_value load(napi_env env, const Arguments& arguments) {
  std::string path = isNullish(env, arguments[0]) ? std::string() : toString(env, arguments[0], "path");
  const auto environment = Environment::of(env);
  return environment->start(env, environment->control, [path = std::move(path)](Outcome& outcome) {
    std::shared_ptr<Driver> driver;
    outcome.status = Driver::load(path, driver);
    outcome.value = [driver](napi_env to) { return wrap(to, DriverHandle{driver}); };
  });
}

napi_value driverInfo(napi_env env, const Arguments& arguments) {
  const Driver& driver = *unwrap<DriverHandle>(env, arguments[0]).driver;
  napi_value info = makeObject(env);
  set(env, info, "path", makeString(env, driver.path()));
  set(env, info, "version", makeNumber(env, driver.version()));
  set(env, info, "emulated", makeBoolean(env, driver.emulated()));
  return info;
}

napi_value driverFiles(napi_env env, const Arguments& arguments) {
  const auto driver = unwrap<DriverHandle>(env, arguments[0]).driver;
  const auto environment = Environment::of(env);
  return environment->start(env, environment->control, [driver](Outcome& outcome) {
    auto files = std::make_shared<std::vector<std::string>>(driver->files());
    outcome.value = [files](napi_env to) {
      napi_value array = nullptr;
      must(napi_create_array_with_length(to, files->size(), &array));
      for (uint32_t i = 0; i < files->size(); i++) must(napi_set_element(to, array, i, makeString(to, (*files)[i])));
      return array;
    };
  });
}

napi_value makeRecord(napi_env env, const DeviceRecord& record) {
  napi_value object = makeObject(env);
  set(env, object, "index", makeNumber(env, record.index));
  set(env, object, "name", makeString(env, record.name));
  set(env, object, "uuid", makeString(env, record.uuid));
  set(env, object, "pciBusId", makeString(env, record.pciBusId));
  set(env, object, "totalBytes", makeNumber(env, static_cast<double>(record.totalBytes)));
  set(env, object, "major", makeNumber(env, record.major));
  set(env, object, "minor", makeNumber(env, record.minor));
  set(env, object, "integrated", makeBoolean(env, record.integrated));
  set(env, object, "managedMemory", makeBoolean(env, record.managedMemory));
  set(env, object, "eccEnabled", makeBoolean(env, record.eccEnabled));
  set(env, object, "tccDriver", makeBoolean(env, record.tccDriver));
  set(env, object, "virtualMemory", makeBoolean(env, record.virtualMemory));
  return object;
}

napi_value devices(napi_env env, const Arguments& arguments) {
  const auto driver = unwrap<DriverHandle>(env, arguments[0]).driver;
  const auto environment = Environment::of(env);
  return environment->start(env, environment->control, [driver](Outcome& outcome) {
    auto records = std::make_shared<std::vector<DeviceRecord>>();
    outcome.status = driver->devices(*records);
    outcome.value = [records](napi_env to) {
      napi_value array = nullptr;
      must(napi_create_array_with_length(to, records->size(), &array));
      for (uint32_t i = 0; i < records->size(); i++) must(napi_set_element(to, array, i, makeRecord(to, (*records)[i])));
      return array;
    };
  });
}

// Releases the resources of an opening and ends its thread, unless the session is kept.
class Opening {
 public:
  explicit Opening(const std::shared_ptr<Session>& session) : session_(session) {}
  Opening(const Opening&) = delete;
  Opening& operator=(const Opening&) = delete;
  ~Opening() {
    if (kept_) return;
    session_->worker.finish();
    try {
      static_cast<void>(session_->close());
    } catch (const std::exception&) {
      // The first failure is reported.
    }
  }
  void keep() { kept_ = true; }

 private:
  const std::shared_ptr<Session>& session_;
  bool kept_ = false;
};

napi_value open(napi_env env, const Arguments& arguments) {
  const auto driver = unwrap<DriverHandle>(env, arguments[0]).driver;
  const int index = static_cast<int>(toInteger(env, arguments[1], "index", INT_MAX));
  const std::size_t stagingBytes = toInteger(env, arguments[2], "stagingBytes", std::size_t{1} << 30);
  if (stagingBytes == 0) throw ArgumentError{"stagingBytes must not be 0"};
  const auto environment = Environment::of(env);
  const auto session = std::make_shared<Session>(driver, index);
  environment->sessions.insert(session);
  // Made before the session is open, since without a handle it could not be closed.
  const auto handle =
      std::make_shared<std::unique_ptr<SessionHandle>>(std::make_unique<SessionHandle>(SessionHandle{environment, session}));
  const auto opened = std::make_shared<bool>(false);
  const napi_value promise = environment->start(
      env, session->worker,
      [session, stagingBytes, handle, opened](Outcome& outcome) {
        Opening opening(session);
        outcome.status = session->open(stagingBytes);
        if (!outcome.status.ok()) return;
        outcome.value = [handle](napi_env to) { return wrap(to, std::move(*handle)); };
        *opened = true;
        opening.keep();
      },
      [environment, session, opened] {
        if (*opened) return;
        session->worker.join();
        environment->sessions.erase(session);
      });
  // Without a thread no work ran, so there is nothing to release.
  if (!session->worker.running()) environment->sessions.erase(session);
  return promise;
}

napi_value deviceInfo(napi_env env, const Arguments& arguments) {
  const auto& session = unwrap<SessionHandle>(env, arguments[0]).session;
  napi_value info = makeObject(env);
  set(env, info, "granularity", makeNumber(env, static_cast<double>(session->granularity())));
  set(env, info, "virtualMemory", makeBoolean(env, session->virtualMemory()));
  set(env, info, "shareable", makeBoolean(env, session->shareable()));
  set(env, info, "stagingBytes", makeNumber(env, static_cast<double>(session->stagingBytes())));
  return info;
}

napi_value memoryInfo(napi_env env, const Arguments& arguments) {
  const auto& handle = unwrap<SessionHandle>(env, arguments[0]);
  return handle.environment->start(env, handle.session->worker, [session = handle.session](Outcome& outcome) {
    uint64_t freeBytes = 0;
    uint64_t totalBytes = 0;
    outcome.status = session->memoryInfo(freeBytes, totalBytes);
    outcome.value = [freeBytes, totalBytes](napi_env to) {
      napi_value info = makeObject(to);
      set(to, info, "freeBytes", makeNumber(to, static_cast<double>(freeBytes)));
      set(to, info, "totalBytes", makeNumber(to, static_cast<double>(totalBytes)));
      return info;
    };
  });
}

napi_value synchronize(napi_env env, const Arguments& arguments) {
  const auto& handle = unwrap<SessionHandle>(env, arguments[0]);
  return handle.environment->start(env, handle.session->worker, [session = handle.session](Outcome& outcome) {
    outcome.status = session->synchronize();
  });
}

napi_value close(napi_env env, const Arguments& arguments) {
  const auto& handle = unwrap<SessionHandle>(env, arguments[0]);
  handle.session->retire();
  return handle.environment->start(
      env, handle.session->worker,
      [session = handle.session](Outcome& outcome) {
        // First, so that the thread ends even if the rest fails; later steps wait for it.
        session->worker.finish();
        outcome.status = session->close();
      },
      [environment = handle.environment, session = handle.session] {
        session->worker.join();
        environment->sessions.erase(session);
      });
}

MemoryKind toMemoryKind(napi_env env, napi_value isVirtual, napi_value isShared) {
  if (!toBoolean(env, isVirtual, "virtual")) return MemoryKind::kPlain;
  return !isNullish(env, isShared) && toBoolean(env, isShared, "shared") ? MemoryKind::kShared : MemoryKind::kVirtual;
}

napi_value allocate(napi_env env, const Arguments& arguments) {
  const auto& handle = unwrap<SessionHandle>(env, arguments[0]);
  const uint64_t bytes = toInteger(env, arguments[1], "bytes", kMaxSafe);
  if (bytes == 0) throw ArgumentError{"bytes must not be 0"};
  const MemoryKind kind = toMemoryKind(env, arguments[2], arguments[3]);
  const auto environment = handle.environment;
  return environment->start(env, handle.session->worker,
                            [environment, session = handle.session, kind, bytes](Outcome& outcome) {
                              std::shared_ptr<Memory> memory;
                              outcome.status = session->allocate(kind, bytes, memory);
                              outcome.value = [environment, session, memory](napi_env to) {
                                return wrap(to, MemoryHandle{environment, session, memory});
                              };
                            });
}

napi_value allocationInfo(napi_env env, const Arguments& arguments) {
  const Memory& memory = *unwrap<MemoryHandle>(env, arguments[0]).memory;
  napi_value info = makeObject(env);
  set(env, info, "bytes", makeNumber(env, static_cast<double>(memory.size())));
  set(env, info, "virtual", makeBoolean(env, memory.kind() != MemoryKind::kPlain));
  return info;
}

napi_value pointerInfo(napi_env env, const Arguments& arguments) {
  const auto& handle = unwrap<MemoryHandle>(env, arguments[0]);
  return handle.environment->start(
      env, handle.session->worker, [session = handle.session, memory = handle.memory](Outcome& outcome) {
        unsigned memoryType = 0;
        unsigned managed = 0;
        outcome.status = session->pointerInfo(*memory, memoryType, managed);
        outcome.value = [memoryType, managed](napi_env to) {
          napi_value info = makeObject(to);
          set(to, info, "memoryType", makeNumber(to, memoryType));
          set(to, info, "managed", makeBoolean(to, managed != 0));
          return info;
        };
      });
}

napi_value write(napi_env env, const Arguments& arguments) {
  const auto& handle = unwrap<MemoryHandle>(env, arguments[0]);
  const uint64_t offset = toInteger(env, arguments[1], "offset", kMaxSafe);
  const TypedBytes bytes = toBytes(env, arguments[2], "bytes", "a Uint8Array");
  const std::size_t length = bytes.length;
  if (length == 0 || length > handle.session->stagingBytes()) throw ArgumentError{"bytes must fit the staging buffer"};
  if (!inRange(offset, length, handle.memory->size())) throw ArgumentError{"the range is not inside the memory"};
  // Copied here: the array may be detached or resized while the thread reads it.
  const std::shared_ptr<Upload> upload = handle.session->stage(bytes.data, length);
  return handle.environment->start(
      env, handle.session->worker, [session = handle.session, memory = handle.memory, offset, upload](Outcome& outcome) {
        outcome.status = session->write(memory, static_cast<std::size_t>(offset), *upload);
      });
}

napi_value drain(napi_env env, const Arguments& arguments) {
  const auto& handle = unwrap<MemoryHandle>(env, arguments[0]);
  return handle.environment->start(
      env, handle.session->worker,
      [session = handle.session, memory = handle.memory](Outcome& outcome) { outcome.status = session->drain(*memory); });
}

napi_value read(napi_env env, const Arguments& arguments) {
  const auto& handle = unwrap<MemoryHandle>(env, arguments[0]);
  const MemoryRange range = toRange(env, *handle.memory, arguments[1], arguments[2]);
  const std::shared_ptr<uint8_t[]> bytes = wipedBytes(range.length);
  return handle.environment->start(
      env, handle.session->worker, [session = handle.session, memory = handle.memory, range, bytes](Outcome& outcome) {
        outcome.status = session->read(*memory, range.offset, bytes.get(), range.length);
        outcome.value = [bytes, length = range.length](napi_env to) { return makeBytes(to, bytes.get(), length); };
      });
}

napi_value fill(napi_env env, const Arguments& arguments) {
  const auto& handle = unwrap<MemoryHandle>(env, arguments[0]);
  const MemoryRange range = toRange(env, *handle.memory, arguments[1], arguments[2]);
  const auto value = static_cast<unsigned char>(toInteger(env, arguments[3], "value", 255));
  return handle.environment->start(
      env, handle.session->worker, [session = handle.session, memory = handle.memory, range, value](Outcome& outcome) {
        outcome.status = session->fill(*memory, range.offset, range.length, value);
      });
}

napi_value copy(napi_env env, const Arguments& arguments) {
  const auto& to = unwrap<MemoryHandle>(env, arguments[0]);
  const auto& from = unwrap<MemoryHandle>(env, arguments[2]);
  sameSession(to.session, from.session);
  const MemoryRange target = toRange(env, *to.memory, arguments[1], arguments[4]);
  const MemoryRange source = toRange(env, *from.memory, arguments[3], arguments[4]);
  return to.environment->start(
      env, to.session->worker,
      [session = to.session, target, source, toMemory = to.memory, fromMemory = from.memory](Outcome& outcome) {
        outcome.status = session->copy(*toMemory, target.offset, *fromMemory, source.offset, target.length);
      });
}

napi_value protect(napi_env env, const Arguments& arguments) {
  const auto& handle = unwrap<MemoryHandle>(env, arguments[0]);
  const bool readOnly = toBoolean(env, arguments[1], "readOnly");
  return handle.environment->start(
      env, handle.session->worker, [session = handle.session, memory = handle.memory, readOnly](Outcome& outcome) {
        int granted = 0;
        outcome.status = session->protect(*memory, readOnly, granted);
        outcome.value = [granted](napi_env to) { return makeNumber(to, granted); };
      });
}

napi_value releaseMemory(napi_env env, const Arguments& arguments, bool wiped) {
  const auto& handle = unwrap<MemoryHandle>(env, arguments[0]);
  return handle.environment->start(env, handle.session->worker,
                                   [session = handle.session, memory = handle.memory, wiped](Outcome& outcome) {
                                     outcome.status = session->release(memory, wiped);
                                   });
}

napi_value release(napi_env env, const Arguments& arguments) { return releaseMemory(env, arguments, true); }

napi_value abandon(napi_env env, const Arguments& arguments) { return releaseMemory(env, arguments, false); }

// PTX text, or the bytes of a fat binary. Copied before it is checked: the caller's array may change meanwhile, and the
// driver reads it on another thread. A string ends in a null character, which is how the driver finds the end of PTX.
std::string toImage(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  must(napi_typeof(env, value, &type));
  if (type == napi_string) {
    std::string ptx = toString(env, value, "kernels");
    if (ptx.empty()) throw ArgumentError{"kernels must not be empty"};
    if (ptx.size() > kMaxKernelBytes) throw ArgumentError{"kernels must be at most 64 MiB"};
    return ptx;
  }
  const TypedBytes bytes = toBytes(env, value, "kernels", "PTX text or a Uint8Array");
  if (bytes.length == 0) throw ArgumentError{"kernels must not be empty"};
  if (bytes.length > kMaxKernelBytes) throw ArgumentError{"kernels must be at most 64 MiB"};
  std::string image(static_cast<const char*>(bytes.data), bytes.length);
  if (const char* fault = fatbinFault(image.data(), image.size())) {
    throw ArgumentError{std::string("kernels: the fat binary ") + fault};
  }
  return image;
}

napi_value loadModule(napi_env env, const Arguments& arguments) {
  const auto& handle = unwrap<SessionHandle>(env, arguments[0]);
  const auto environment = handle.environment;
  return environment->start(
      env, handle.session->worker,
      [environment, session = handle.session, image = toImage(env, arguments[1])](Outcome& outcome) {
        std::shared_ptr<Module> module;
        outcome.status = session->loadModule(image, module);
        outcome.value = [environment, session, module](napi_env to) {
          return wrap(to, ModuleHandle{environment, session, module});
        };
      });
}

napi_value unloadModule(napi_env env, const Arguments& arguments) {
  const auto& handle = unwrap<ModuleHandle>(env, arguments[0]);
  return handle.environment->start(env, handle.session->worker,
                                   [session = handle.session, module = handle.module](Outcome& outcome) {
                                     outcome.status = session->unloadModule(module);
                                   });
}

std::array<unsigned, 3> toDimensions(napi_env env, napi_value value, const char* name) {
  if (arrayLength(env, value, name) != 3) throw ArgumentError{std::string(name) + " must hold three numbers"};
  std::array<unsigned, 3> dimensions{};
  for (uint32_t i = 0; i < 3; i++) {
    dimensions[i] = static_cast<unsigned>(toInteger(env, element(env, value, i), name, INT_MAX));
    if (dimensions[i] == 0) throw ArgumentError{std::string(name) + " must not hold 0"};
  }
  return dimensions;
}

Argument toKernelArgument(napi_env env, const std::shared_ptr<Session>& session, napi_value value) {
  Argument argument;
  const napi_value memory = property(env, value, "memory");
  if (!isNullish(env, memory)) {
    const auto& handle = unwrap<MemoryHandle>(env, memory);
    sameSession(session, handle.session);
    const MemoryRange range = toRange(env, *handle.memory, property(env, value, "offset"), property(env, value, "length"));
    argument.memory = handle.memory;
    argument.offset = range.offset;
    argument.length = range.length;
    return argument;
  }
  const napi_value u32 = property(env, value, "u32");
  if (!isNullish(env, u32)) {
    argument.value = toInteger(env, u32, "u32", UINT32_MAX);
    return argument;
  }
  const napi_value u64 = property(env, value, "u64");
  if (!isNullish(env, u64)) {
    argument.value = toInteger(env, u64, "u64", kMaxSafe);
    return argument;
  }
  const auto number = static_cast<float>(toNumber(env, property(env, value, "f32"), "f32"));
  // Parameters are read from their first byte on: a float lies in the low four.
  std::memcpy(&argument.value, &number, sizeof number);
  return argument;
}

napi_value launch(napi_env env, const Arguments& arguments) {
  const auto& handle = unwrap<ModuleHandle>(env, arguments[0]);
  auto work = std::make_shared<Launch>();
  work->entry = toString(env, arguments[1], "entry");
  work->grid = toDimensions(env, arguments[2], "grid");
  work->block = toDimensions(env, arguments[3], "block");
  const uint32_t count = arrayLength(env, arguments[4], "arguments");
  if (count > kMaxArguments) throw ArgumentError{"too many arguments"};
  for (uint32_t i = 0; i < count; i++) {
    work->arguments.push_back(toKernelArgument(env, handle.session, element(env, arguments[4], i)));
  }
  return handle.environment->start(env, handle.session->worker,
                                   [session = handle.session, module = handle.module, work](Outcome& outcome) {
                                     outcome.status = session->launch(*module, *work);
                                   });
}

struct Export {
  const char* name;
  napi_callback call;
};

constexpr Export kExports[] = {
    {"load", guarded<load>},
    {"driverInfo", guarded<driverInfo>},
    {"driverFiles", guarded<driverFiles>},
    {"devices", guarded<devices>},
    {"open", guarded<open>},
    {"deviceInfo", guarded<deviceInfo>},
    {"memoryInfo", guarded<memoryInfo>},
    {"synchronize", guarded<synchronize>},
    {"close", guarded<close>},
    {"allocate", guarded<allocate>},
    {"allocationInfo", guarded<allocationInfo>},
    {"pointerInfo", guarded<pointerInfo>},
    {"write", guarded<write>},
    {"openSink", guarded<openSink>},
    {"closeSink", guarded<closeSink>},
    {"reserve", guarded<reserve>},
    {"writeReserved", guarded<writeReserved>},
    {"drain", guarded<drain>},
    {"read", guarded<read>},
    {"fill", guarded<fill>},
    {"copy", guarded<copy>},
    {"protect", guarded<protect>},
    {"release", guarded<release>},
    {"abandon", guarded<abandon>},
    {"exportMemory", guarded<exportMemory>},
    {"importMemory", guarded<importMemory>},
    {"sealBytes", guarded<sealBytes>},
    {"readSealedBytes", guarded<readSealedBytes>},
    {"shareDescriptor", guarded<shareDescriptor>},
    {"closeDescriptor", guarded<closeDescriptor>},
    {"openSockets", guarded<openSockets>},
    {"closeSockets", guarded<closeSockets>},
    {"listenAt", guarded<listenAt>},
    {"closeListener", guarded<closeListener>},
    {"connectTo", guarded<connectTo>},
    {"send", guarded<send>},
    {"closeConnection", guarded<closeConnection>},
    {"watchPeer", guarded<watchPeer>},
    {"forgetConnection", guarded<forgetConnection>},
    {"loadModule", guarded<loadModule>},
    {"unloadModule", guarded<unloadModule>},
    {"launch", guarded<launch>},
    {"blockHasherNames", guarded<blockHasherNames>},
    {"hashBlocks", guarded<hashBlocks>},
    {"hashBlocksAsync", guarded<hashBlocksAsync>},
    {"hashFileAsync", guarded<hashFileAsync>},
    {"readFileAsync", guarded<readFileAsync>},
    {"holdStderr", guarded<holdStderr>},
    {"adviseHugePages", guarded<adviseHugePages>},
    {"sendDatagram", guarded<sendDatagram>},
    {"lockFile", guarded<lockFile>},
};

napi_value initialise(napi_env env, napi_value exports) {
  try {
    Environment::create(env);
    for (const Export& entry : kExports) {
      napi_value function = nullptr;
      must(napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.call, nullptr, &function));
      set(env, exports, entry.name, function);
    }
    set(env, exports, "interfaceVersion", makeNumber(env, 5));
  } catch (const NapiError&) {
    throwArgument(env, "the addon could not be initialised");
  } catch (const std::exception&) {
    throwHostMemory(env);
  }
  return exports;
}

}  // namespace

}  // namespace vram

NAPI_MODULE_INIT() { return vram::initialise(env, exports); }

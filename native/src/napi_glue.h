// The Node-API boundary: arguments are checked again here, handles are type-tagged, and no C++ exception crosses it.
#ifndef VRAM_RESIDENCY_BORDER_H
#define VRAM_RESIDENCY_BORDER_H

#include <node_api.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <set>
#include <string>
#include <string_view>

#include "session.h"

namespace vram {

// The outcome of finished work for its promise. Made by the worker, used on the environment's thread.
struct Outcome {
  Status status;
  // Builds the value to resolve with; undefined if empty. Called on the environment's thread.
  std::function<napi_value(napi_env)> value;
};

using Operation = std::function<void(Outcome&)>;

// A background activity that runs until it is stopped.
class Background {
 public:
  virtual ~Background() = default;
  // Stops it. Called on the environment's thread, when the environment ends; throws nothing.
  virtual void end() noexcept = 0;
};

// A task for the environment's thread.
class Delivery {
 public:
  virtual ~Delivery() = default;
  virtual void run(napi_env env) = 0;
};

// The addon's state in one environment: the main thread or a worker thread of Node.
class Environment {
 public:
  // Makes the environment's state and ties its end to the environment's.
  static void create(napi_env env);
  static const std::shared_ptr<Environment>& of(napi_env env);

  // Runs `operation` on the worker and returns the promise for its outcome, which is settled on every path: where the work
  // cannot even be begun, it is rejected. `afterwards` runs on the environment's thread once the work is over, and throws
  // nothing. Work keeps the process alive until its promise is settled.
  napi_value start(napi_env env, Worker& worker, Operation operation, std::function<void()> afterwards = {});
  // The same without a promise, for handles that the garbage collector found still open. Nothing happens once the
  // environment has ended. Throws std::bad_alloc.
  void startSilently(Worker& worker, Operation operation, std::function<void()> afterwards = {});
  void closeSilently(const std::shared_ptr<Session>& session);
  // Runs it on the environment's thread, in the order of the calls. Callable from any thread that ends with the environment.
  void deliver(std::unique_ptr<Delivery> delivery) const noexcept;
  // Deliveries are awaited: the process does not end by itself. Counted; on the environment's thread.
  void await(napi_env env) noexcept;
  void unawait(napi_env env) noexcept;

  // For opening and listing, which belong to no session.
  Worker control;
  std::set<std::shared_ptr<Session>> sessions;
  std::set<std::shared_ptr<Background>> backgrounds;

 private:
  struct Completion;
  static void settle(napi_env env, napi_value, void* context, void* data);
  static void cleanUp(void* data);
  Worker::Work workFor(const std::shared_ptr<Completion>& completion, Operation operation) const;
  Status post(Worker& worker, Worker::Work work) const noexcept;
  void end();

  napi_threadsafe_function settle_ = nullptr;
  napi_threadsafe_function deliver_ = nullptr;
  std::size_t awaiting_ = 0;
  std::size_t underWay_ = 0;
  bool cleanedUp_ = false;
};

// A JavaScript handle: an object that wraps one of these and carries the type's tag.
struct DriverHandle {
  static constexpr napi_type_tag kTag{0x8f0f2f6b6c2d4a11, 0x9d0b7ac5d1e34f01};
  static constexpr char kName[] = "driver";
  std::shared_ptr<Driver> driver;
  void dropped() {}
};
struct SessionHandle {
  static constexpr napi_type_tag kTag{0x8f0f2f6b6c2d4a11, 0x9d0b7ac5d1e34f02};
  static constexpr char kName[] = "device";
  std::shared_ptr<Environment> environment;
  std::shared_ptr<Session> session;
  // The garbage collector found the handle.
  void dropped();
};
struct MemoryHandle {
  static constexpr napi_type_tag kTag{0x8f0f2f6b6c2d4a11, 0x9d0b7ac5d1e34f03};
  static constexpr char kName[] = "memory";
  std::shared_ptr<Environment> environment;
  std::shared_ptr<Session> session;
  std::shared_ptr<Memory> memory;
  // The garbage collector found the handle.
  void dropped();
};
struct ModuleHandle {
  static constexpr napi_type_tag kTag{0x8f0f2f6b6c2d4a11, 0x9d0b7ac5d1e34f04};
  static constexpr char kName[] = "module";
  std::shared_ptr<Environment> environment;
  std::shared_ptr<Session> session;
  std::shared_ptr<Module> module;
  // The garbage collector found the handle.
  void dropped();
};

// Thrown inside the addon where a synchronous call has failed; becomes an Error with the status's code.
struct StatusError {
  Status status;
};
// Thrown inside the addon for a wrong argument; becomes a TypeError with code ARGUMENT at the boundary.
struct ArgumentError {
  std::string message;
};
// A Node-API call failed; an exception may be pending in the environment already.
struct NapiError {};

inline void must(napi_status status) {
  if (status != napi_ok) throw NapiError{};
}

// The arguments of one call, each taken with its type.
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info);
  napi_value operator[](std::size_t index) const { return values_[index]; }

 private:
  static constexpr std::size_t kMax = 7;
  napi_value values_[kMax] = {};
};

std::string toString(napi_env env, napi_value value, const char* name);
// The bytes of a Uint8Array: JavaScript's own, to be copied before it runs again. `expected` says what the argument must be.
struct TypedBytes {
  void* data;
  std::size_t length;
};
TypedBytes toBytes(napi_env env, napi_value value, const char* name, const char* expected);
// An integer in [0, max]; max is at most 2^53 - 1.
uint64_t toInteger(napi_env env, napi_value value, const char* name, uint64_t max);
bool toBoolean(napi_env env, napi_value value, const char* name);
double toNumber(napi_env env, napi_value value, const char* name);
napi_value property(napi_env env, napi_value object, const char* name);
bool isNullish(napi_env env, napi_value value);
uint32_t arrayLength(napi_env env, napi_value value, const char* name);
napi_value element(napi_env env, napi_value array, uint32_t index);

napi_value makeString(napi_env env, std::string_view text);
napi_value makeNumber(napi_env env, double number);
napi_value makeBoolean(napi_env env, bool value);
// A Uint8Array of its own memory.
napi_value makeBytes(napi_env env, const void* bytes, std::size_t length);
napi_value makeObject(napi_env env);
void set(napi_env env, napi_value object, const char* name, napi_value value);
napi_value makeError(napi_env env, const Status& status);
// Settles the promise on every path: with this error; without the memory for it, with that; with what the environment threw,
// or undefined, where it makes no errors.
void reject(napi_env env, napi_deferred deferred, const Status& status) noexcept;

template <typename T>
T& unwrap(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  must(napi_typeof(env, value, &type));
  bool tagged = false;
  if (type == napi_object) must(napi_check_object_type_tag(env, value, &T::kTag, &tagged));
  if (!tagged) throw ArgumentError{std::string("not a ") + T::kName + " handle"};
  void* data = nullptr;
  must(napi_unwrap(env, value, &data));
  return *static_cast<T*>(data);
}

template <typename T>
napi_value wrap(napi_env env, std::unique_ptr<T> owned) {
  napi_value object = makeObject(env);
  must(napi_type_tag_object(env, object, &T::kTag));
  must(napi_wrap(
      env, object, owned.get(),
      [](napi_env, void* data, void*) {
        const std::unique_ptr<T> handle(static_cast<T*>(data));
        try {
          handle->dropped();
        } catch (const std::exception&) {
          // No memory even for the request: the handle's resources are released with its session, or with the environment.
        }
      },
      nullptr, nullptr));
  static_cast<void>(owned.release());
  return object;
}

template <typename T>
napi_value wrap(napi_env env, T content) {
  return wrap(env, std::make_unique<T>(std::move(content)));
}

// Carries out a call from JavaScript; whatever is thrown inside becomes a JavaScript exception.
void throwArgument(napi_env env, const std::string& message);
void throwHostMemory(napi_env env);
void throwStatus(napi_env env, const Status& status) noexcept;

template <napi_value (*body)(napi_env, const Arguments&)>
napi_value guarded(napi_env env, napi_callback_info info) {
  try {
    return body(env, Arguments(env, info));
  } catch (const ArgumentError& error) {
    throwArgument(env, error.message);
  } catch (const StatusError& error) {
    throwStatus(env, error.status);
  } catch (const NapiError&) {
    bool pending = false;
    if (napi_is_exception_pending(env, &pending) != napi_ok || !pending) throwArgument(env, "a Node-API call failed");
  } catch (const std::exception&) {
    throwHostMemory(env);
  }
  return nullptr;
}

}  // namespace vram

#endif

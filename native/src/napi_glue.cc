#include "napi_glue.h"

#include <cmath>
#include <cstring>
#include <exception>
#include <utility>

namespace vram {

namespace {

constexpr char kOutOfHostMemory[] = "the host is out of memory";
constexpr double kMaxSafeInteger = 9007199254740991.0;

const char* codeOf(Failure failure) {
  switch (failure) {
    case Failure::kDriver:
      return "DRIVER";
    case Failure::kNoDriver:
      return "NO_DRIVER";
    case Failure::kClosed:
      return "CLOSED";
    case Failure::kHostMemory:
      return "HOST_MEMORY";
    case Failure::kHostThread:
      return "HOST_THREAD";
    case Failure::kSystem:
      return "SYSTEM";
    case Failure::kPath:
      return "PATH";
    case Failure::kState:
    case Failure::kNone:
      break;
  }
  return "STATE";
}

// Runs on a worker thread, where an exception would end the process.
Status carryOut(const Operation& operation, Outcome& outcome) noexcept {
  try {
    operation(outcome);
    return std::move(outcome.status);
  } catch (const std::bad_alloc&) {
    return Status::outOfHostMemory();
  } catch (const std::exception& error) {
    const char* what = error.what();
    try {
      return Status::fail(Failure::kState, what);
    } catch (const std::exception&) {
      return Status::outOfHostMemory();
    }
  }
}

// The exception that the environment holds; null if it holds none.
napi_value pendingException(napi_env env) noexcept {
  napi_value error = nullptr;
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) != napi_ok || !pending) return nullptr;
  return napi_get_and_clear_last_exception(env, &error) == napi_ok ? error : nullptr;
}

}  // namespace

struct Environment::Completion {
  std::shared_ptr<Environment> environment;
  napi_deferred deferred = nullptr;
  Outcome outcome;
  std::function<void()> afterwards;
};

void Environment::create(napi_env env) {
  auto environment = std::make_shared<Environment>();
  napi_value name = makeString(env, "vram-residency");
  must(napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, settle,
                                       &environment->settle_));
  must(napi_unref_threadsafe_function(env, environment->settle_));
  const auto run = [](napi_env to, napi_value, void*, void* data) {
    const std::unique_ptr<Delivery> delivery(static_cast<Delivery*>(data));
    // Without an environment it is only discarded.
    if (to != nullptr) delivery->run(to);
  };
  must(napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, run,
                                       &environment->deliver_));
  must(napi_unref_threadsafe_function(env, environment->deliver_));
  auto held = std::make_unique<std::shared_ptr<Environment>>(environment);
  must(napi_set_instance_data(
      env, held.get(), [](napi_env, void* data, void*) { delete static_cast<std::shared_ptr<Environment>*>(data); },
      nullptr));
  // Hooks run last in, first out, so the threads end before the function through which they report is removed.
  must(napi_add_env_cleanup_hook(env, cleanUp, held.get()));
  static_cast<void>(held.release());
}

const std::shared_ptr<Environment>& Environment::of(napi_env env) {
  void* data = nullptr;
  must(napi_get_instance_data(env, &data));
  if (data == nullptr) throw NapiError{};
  return *static_cast<std::shared_ptr<Environment>*>(data);
}

void Environment::cleanUp(void* data) { (*static_cast<std::shared_ptr<Environment>*>(data))->end(); }

void Environment::end() {
  cleanedUp_ = true;
  control.stop();
  for (const std::shared_ptr<Session>& session : sessions) {
    session->retire();
    session->worker.stop([raw = session.get()] {
      try {
        static_cast<void>(raw->close());
      } catch (const std::exception&) {
        // Nothing is left to receive a failure; unreleased resources end with the process.
      }
    });
  }
  sessions.clear();
  for (const std::shared_ptr<Background>& background : backgrounds) background->end();
  backgrounds.clear();
}

void Environment::deliver(std::unique_ptr<Delivery> delivery) const noexcept {
  // Refused only while the environment ends, when nobody is left to receive it.
  if (napi_call_threadsafe_function(deliver_, delivery.get(), napi_tsfn_nonblocking) == napi_ok)
    static_cast<void>(delivery.release());
}

void Environment::await(napi_env env) noexcept {
  if (awaiting_++ == 0 && !cleanedUp_) static_cast<void>(napi_ref_threadsafe_function(env, deliver_));
}

void Environment::unawait(napi_env env) noexcept {
  if (--awaiting_ == 0 && !cleanedUp_) static_cast<void>(napi_unref_threadsafe_function(env, deliver_));
}

// Everything that this needs is allocated here: the worker thread only passes it on.
Worker::Work Environment::workFor(const std::shared_ptr<Completion>& completion, Operation operation) const {
  using Message = std::unique_ptr<std::shared_ptr<Completion>>;
  auto message = std::make_shared<Message>(std::make_unique<std::shared_ptr<Completion>>(completion));
  return [message = std::move(message), operation = std::move(operation), settle = settle_] {
    Outcome& outcome = (**message)->outcome;
    outcome.status = carryOut(operation, outcome);
    // Refused only while the environment ends, when nobody is left to receive it.
    if (napi_call_threadsafe_function(settle, message->get(), napi_tsfn_nonblocking) == napi_ok) {
      static_cast<void>(message->release());
    }
  };
}

Status Environment::post(Worker& worker, Worker::Work work) const noexcept {
  try {
    const Posted posted = cleanedUp_ ? Posted::kStopped : worker.post(std::move(work));
    if (posted == Posted::kStopped) return Status::fail(Failure::kClosed, "the device is closed");
    if (posted == Posted::kNoThread) return Status::fail(Failure::kHostThread, "the host starts no more threads");
    return {};
  } catch (const std::exception&) {
    return Status::outOfHostMemory();
  }
}

napi_value Environment::start(napi_env env, Worker& worker, Operation operation, std::function<void()> afterwards) {
  // Steps that can fail for lack of memory come before the promise, or reject it.
  auto completion = std::make_shared<Completion>();
  completion->environment = of(env);
  completion->afterwards = std::move(afterwards);
  Worker::Work work = workFor(completion, std::move(operation));
  napi_value promise = nullptr;
  must(napi_create_promise(env, &completion->deferred, &promise));
  const napi_deferred deferred = completion->deferred;
  const Status posted = post(worker, std::move(work));
  if (!posted.ok()) {
    reject(env, deferred, posted);
    return promise;
  }
  // If that fails the process may end before the work does.
  if (underWay_++ == 0) static_cast<void>(napi_ref_threadsafe_function(env, settle_));
  return promise;
}

void Environment::startSilently(Worker& worker, Operation operation, std::function<void()> afterwards) {
  if (cleanedUp_) return;
  auto completion = std::make_shared<Completion>();
  completion->afterwards = std::move(afterwards);
  static_cast<void>(post(worker, workFor(completion, std::move(operation))));
}

void Environment::closeSilently(const std::shared_ptr<Session>& session) {
  session->retire();
  startSilently(
      session->worker,
      [session](Outcome& outcome) {
        // First, so that the thread ends even if the rest fails; `afterwards` waits for it.
        session->worker.finish();
        outcome.status = session->close();
      },
      [this, session] {
        session->worker.join();
        sessions.erase(session);
      });
}

void Environment::settle(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<std::shared_ptr<Completion>> message(static_cast<std::shared_ptr<Completion>*>(data));
  Completion& completion = **message;
  // Without an environment the message is only discarded.
  if (env == nullptr) return;
  if (completion.afterwards) completion.afterwards();
  if (completion.deferred == nullptr) return;
  Environment& environment = *completion.environment;
  // If that fails the process lives longer than necessary.
  if (--environment.underWay_ == 0) static_cast<void>(napi_unref_threadsafe_function(env, environment.settle_));
  if (!completion.outcome.status.ok()) return reject(env, completion.deferred, completion.outcome.status);
  napi_value value = nullptr;
  try {
    if (completion.outcome.value) {
      value = completion.outcome.value(env);
    } else {
      must(napi_get_undefined(env, &value));
    }
  } catch (const StatusError& error) {
    return reject(env, completion.deferred, error.status);
  } catch (const ArgumentError& error) {
    return reject(env, completion.deferred, Status::fail(Failure::kClosed, error.message));
  } catch (const NapiError&) {
    // The value could not be built: the environment holds an exception, or is ending.
    const napi_value error = pendingException(env);
    if (error == nullptr) return reject(env, completion.deferred, Status::outOfHostMemory());
    static_cast<void>(napi_reject_deferred(env, completion.deferred, error));
    return;
  } catch (const std::exception&) {
    return reject(env, completion.deferred, Status::outOfHostMemory());
  }
  static_cast<void>(napi_resolve_deferred(env, completion.deferred, value));
}

void SessionHandle::dropped() { environment->closeSilently(session); }

void MemoryHandle::dropped() {
  environment->startSilently(session->worker, [session = session, memory = memory](Outcome& outcome) {
    outcome.status = session->release(memory, memory->isPrivate());
  });
}

void ModuleHandle::dropped() {
  environment->startSilently(session->worker, [session = session, module = module](Outcome& outcome) {
    outcome.status = session->unloadModule(module);
  });
}

Arguments::Arguments(napi_env env, napi_callback_info info) {
  std::size_t count = kMax;
  must(napi_get_cb_info(env, info, &count, values_, nullptr, nullptr));
}

std::string toString(napi_env env, napi_value value, const char* name) {
  std::size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) {
    throw ArgumentError{std::string(name) + " must be a string"};
  }
  std::string text(length, '\0');
  must(napi_get_value_string_utf8(env, value, text.data(), length + 1, &length));
  if (text.find('\0') != std::string::npos) throw ArgumentError{std::string(name) + " must not hold null characters"};
  return text;
}

TypedBytes toBytes(napi_env env, napi_value value, const char* name, const char* expected) {
  bool typed = false;
  must(napi_is_typedarray(env, value, &typed));
  napi_typedarray_type type = napi_int8_array;
  TypedBytes bytes{nullptr, 0};
  if (typed) must(napi_get_typedarray_info(env, value, &type, &bytes.length, &bytes.data, nullptr, nullptr));
  if (type != napi_uint8_array) throw ArgumentError{std::string(name) + " must be " + expected};
  return bytes;
}

double toNumber(napi_env env, napi_value value, const char* name) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) != napi_ok) throw ArgumentError{std::string(name) + " must be a number"};
  return number;
}

uint64_t toInteger(napi_env env, napi_value value, const char* name, uint64_t max) {
  const double number = toNumber(env, value, name);
  // The negated form also refuses NaN.
  if (!(number >= 0 && number <= kMaxSafeInteger) || std::floor(number) != number || static_cast<uint64_t>(number) > max) {
    throw ArgumentError{std::string(name) + " must be an integer from 0 to " + std::to_string(max)};
  }
  return static_cast<uint64_t>(number);
}

bool toBoolean(napi_env env, napi_value value, const char* name) {
  bool result = false;
  if (napi_get_value_bool(env, value, &result) != napi_ok) throw ArgumentError{std::string(name) + " must be true or false"};
  return result;
}

napi_value property(napi_env env, napi_value object, const char* name) {
  napi_value value = nullptr;
  must(napi_get_named_property(env, object, name, &value));
  return value;
}

bool isNullish(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  must(napi_typeof(env, value, &type));
  return type == napi_undefined || type == napi_null;
}

uint32_t arrayLength(napi_env env, napi_value value, const char* name) {
  bool array = false;
  must(napi_is_array(env, value, &array));
  if (!array) throw ArgumentError{std::string(name) + " must be an array"};
  uint32_t length = 0;
  must(napi_get_array_length(env, value, &length));
  return length;
}

napi_value element(napi_env env, napi_value array, uint32_t index) {
  napi_value value = nullptr;
  must(napi_get_element(env, array, index, &value));
  return value;
}

napi_value makeString(napi_env env, std::string_view text) {
  napi_value value = nullptr;
  must(napi_create_string_utf8(env, text.data(), text.size(), &value));
  return value;
}

napi_value makeNumber(napi_env env, double number) {
  napi_value value = nullptr;
  must(napi_create_double(env, number, &value));
  return value;
}

napi_value makeBoolean(napi_env env, bool flag) {
  napi_value value = nullptr;
  must(napi_get_boolean(env, flag, &value));
  return value;
}

napi_value makeBytes(napi_env env, const void* bytes, std::size_t length) {
  void* data = nullptr;
  napi_value buffer = nullptr;
  must(napi_create_arraybuffer(env, length, &data, &buffer));
  if (length > 0) std::memcpy(data, bytes, length);
  napi_value array = nullptr;
  must(napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &array));
  return array;
}

napi_value makeObject(napi_env env) {
  napi_value value = nullptr;
  must(napi_create_object(env, &value));
  return value;
}

void set(napi_env env, napi_value object, const char* name, napi_value value) {
  must(napi_set_named_property(env, object, name, value));
}

napi_value makeError(napi_env env, const Status& status) {
  std::string text;
  if (status.failure == Failure::kDriver) {
    text = std::string(status.call) + " returned " + (status.name.empty() ? std::to_string(status.result) : status.name);
  } else if (status.failure == Failure::kSystem) {
    text = std::string(status.call) + " failed: " + status.name;
  }
  if (!status.detail.empty()) text += (text.empty() ? "" : ": ") + status.detail;
  // Reported without allocating.
  const std::string_view message = status.failure == Failure::kHostMemory ? kOutOfHostMemory : std::string_view(text);
  napi_value error = nullptr;
  must(napi_create_error(env, makeString(env, codeOf(status.failure)), makeString(env, message), &error));
  if (status.failure == Failure::kDriver) {
    set(env, error, "result", makeNumber(env, status.result));
    set(env, error, "resultName", makeString(env, status.name));
    set(env, error, "call", makeString(env, status.call));
    set(env, error, "detail", makeString(env, status.detail));
  }
  // As in the errors of Node's own system calls.
  if (status.failure == Failure::kSystem) set(env, error, "errno", makeNumber(env, -status.result));
  return error;
}

void reject(napi_env env, napi_deferred deferred, const Status& status) noexcept {
  napi_value error = nullptr;
  try {
    error = makeError(env, status);
  } catch (const NapiError&) {
    error = pendingException(env);
  } catch (const std::exception&) {
    if (status.failure != Failure::kHostMemory) return reject(env, deferred, Status::outOfHostMemory());
  }
  if (error == nullptr && napi_get_undefined(env, &error) != napi_ok) return;
  // Fails only while the environment ends, when nothing awaits the promise.
  static_cast<void>(napi_reject_deferred(env, deferred, error));
}

void throwArgument(napi_env env, const std::string& message) {
  static_cast<void>(napi_throw_type_error(env, "ARGUMENT", message.c_str()));
}

void throwStatus(napi_env env, const Status& status) noexcept {
  try {
    static_cast<void>(napi_throw(env, makeError(env, status)));
  } catch (const NapiError&) {
    // The environment already holds an exception, or is ending.
  } catch (const std::exception&) {
    throwHostMemory(env);
  }
}

void throwHostMemory(napi_env env) {
  static_cast<void>(napi_throw_error(env, "HOST_MEMORY", kOutOfHostMemory));
}

}  // namespace vram

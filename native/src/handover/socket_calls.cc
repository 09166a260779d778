#include "socket_calls.h"

#include <sys/stat.h>

#include "descriptor_calls.h"
#include "sockets.h"

namespace vram {

namespace {

constexpr uint64_t kMaxSafe = 9007199254740991u;
constexpr uint64_t kMaxLineBytes = uint64_t{1} << 20;
constexpr uint64_t kMaxMode = 0777;
// -1 is not a group.
constexpr uint64_t kMaxGroup = UINT32_MAX - 1;

struct SocketsHandle {
  static constexpr napi_type_tag kTag{0x8f0f2f6b6c2d4a11, 0x9d0b7ac5d1e34f06};
  static constexpr char kName[] = "sockets";
  std::shared_ptr<Sockets> sockets;
  void dropped() { sockets->close(); }
};

Sockets& toSockets(napi_env env, napi_value value) {
  Sockets& sockets = *unwrap<SocketsHandle>(env, value).sockets;
  sockets.requireOpen();
  return sockets;
}

uint64_t toId(napi_env env, napi_value value, const char* name) { return toInteger(env, value, name, kMaxSafe); }

std::size_t toLineBytes(napi_env env, napi_value value) {
  const uint64_t bytes = toInteger(env, value, "maxLineBytes", kMaxLineBytes);
  if (bytes == 0) throw ArgumentError{"maxLineBytes must not be 0"};
  return static_cast<std::size_t>(bytes);
}

napi_value undefined(napi_env env) {
  napi_value value = nullptr;
  must(napi_get_undefined(env, &value));
  return value;
}

// Calls a method of the reactor with the connection, or the listener, that the second argument names.
template <void (Reactor::*method)(uint64_t)>
napi_value ofReactor(napi_env env, const Arguments& arguments, const char* name) {
  Sockets& sockets = toSockets(env, arguments[0]);
  (sockets.reactor().*method)(toId(env, arguments[1], name));
  sockets.refresh();
  return undefined(env);
}

const char* nameOf(Sending sending) {
  return sending == Sending::kSent ? "sent" : sending == Sending::kQueued ? "queued" : "full";
}

}  // namespace

napi_value openSockets(napi_env env, const Arguments& arguments) {
  const std::shared_ptr<Sockets> sockets = Sockets::open(env, arguments[0]);
  try {
    return wrap(env, SocketsHandle{sockets});
  } catch (const std::exception&) {
    sockets->close();
    throw;
  } catch (const NapiError&) {
    sockets->close();
    throw;
  }
}

napi_value closeSockets(napi_env env, const Arguments& arguments) {
  unwrap<SocketsHandle>(env, arguments[0]).sockets->close();
  return undefined(env);
}

napi_value listenAt(napi_env env, const Arguments& arguments) {
  toSockets(env, arguments[0]);
  const std::shared_ptr<Sockets> sockets = unwrap<SocketsHandle>(env, arguments[0]).sockets;
  const std::string path = toString(env, arguments[1], "path");
  const auto mode = static_cast<mode_t>(toInteger(env, arguments[2], "mode", kMaxMode));
  std::optional<gid_t> group;
  if (!isNullish(env, arguments[3])) group = static_cast<gid_t>(toInteger(env, arguments[3], "group", kMaxGroup));
  const std::size_t maxLineBytes = toLineBytes(env, arguments[4]);
  const auto environment = Environment::of(env);
  return environment->start(env, environment->control, [=](Outcome& outcome) {
    std::unique_ptr<SocketFile> file;
    outcome.status = SocketFile::listen(path, mode, group, file);
    const auto held = std::make_shared<std::unique_ptr<SocketFile>>(std::move(file));
    // On the environment's thread: the sockets may have been closed meanwhile.
    outcome.value = [=](napi_env to) {
      sockets->requireOpen();
      uint64_t listener = 0;
      const Status status = sockets->reactor().listen(std::move(*held), maxLineBytes, listener);
      if (!status.ok()) throw StatusError{status};
      sockets->refresh();
      return makeNumber(to, static_cast<double>(listener));
    };
  });
}

napi_value closeListener(napi_env env, const Arguments& arguments) {
  return ofReactor<&Reactor::closeListener>(env, arguments, "listener");
}

napi_value connectTo(napi_env env, const Arguments& arguments) {
  Sockets& sockets = toSockets(env, arguments[0]);
  const std::string path = toString(env, arguments[1], "path");
  uint64_t connection = 0;
  const Status status = sockets.reactor().connect(path, toLineBytes(env, arguments[2]), connection);
  if (!status.ok()) throw StatusError{status};
  sockets.refresh();
  return makeNumber(env, static_cast<double>(connection));
}

napi_value send(napi_env env, const Arguments& arguments) {
  Sockets& sockets = toSockets(env, arguments[0]);
  const uint64_t connection = toId(env, arguments[1], "connection");
  const TypedBytes bytes = toBytes(env, arguments[2], "line", "a Uint8Array");
  const auto* text = static_cast<const char*>(bytes.data);
  if (bytes.length == 0 || bytes.length > kMaxLineBytes || text[bytes.length - 1] != '\n') {
    throw ArgumentError{"line must have at most 1 MiB and end with a newline"};
  }
  Outgoing message{std::string(text, bytes.length), {}, 0};
  const uint32_t count = arrayLength(env, arguments[3], "descriptors");
  if (count > 2) throw ArgumentError{"descriptors must be at most two"};
  for (uint32_t k = 0; k < count; k++) {
    const auto& handle = unwrap<DescriptorHandle>(env, element(env, arguments[3], k));
    if (handle.descriptor == nullptr) throw ArgumentError{"the descriptor has been used or closed"};
    message.descriptors.push_back(handle.descriptor);
  }
  const Sending answer = sockets.reactor().send(connection, message);
  if (answer != Sending::kFull) {
    for (uint32_t k = 0; k < count; k++) unwrap<DescriptorHandle>(env, element(env, arguments[3], k)).descriptor.reset();
  }
  sockets.refresh();
  return makeString(env, nameOf(answer));
}

napi_value closeConnection(napi_env env, const Arguments& arguments) {
  return ofReactor<&Reactor::closeConnection>(env, arguments, "connection");
}

napi_value watchPeer(napi_env env, const Arguments& arguments) {
  return ofReactor<&Reactor::watch>(env, arguments, "connection");
}

napi_value forgetConnection(napi_env env, const Arguments& arguments) {
  return ofReactor<&Reactor::forget>(env, arguments, "connection");
}

}  // namespace vram

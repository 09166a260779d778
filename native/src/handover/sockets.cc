#include "sockets.h"

#include "descriptor_calls.h"

namespace vram {

namespace {

const char* nameOf(Event::Kind kind) {
  switch (kind) {
    case Event::Kind::kConnected:
      return "connected";
    case Event::Kind::kLine:
      return "line";
    case Event::Kind::kClosed:
      return "closed";
    case Event::Kind::kExited:
      break;
  }
  return "exited";
}

const char* nameOf(Ending ending) {
  switch (ending) {
    case Ending::kPeer:
      return "peer";
    case Ending::kLineTooLong:
      return "line-too-long";
    case Ending::kNulByte:
      return "nul-byte";
    case Ending::kDescriptor:
      return "descriptor";
    case Ending::kServer:
      return "server";
    case Ending::kFailed:
    case Ending::kNone:
      break;
  }
  return "failed";
}

napi_value makeArray(napi_env env, std::size_t length) {
  napi_value array = nullptr;
  must(napi_create_array_with_length(env, length, &array));
  return array;
}

napi_value makePeer(napi_env env, const Event& event) {
  const Peer& peer = event.peer;
  napi_value groups = makeArray(env, peer.groups.size());
  for (uint32_t k = 0; k < peer.groups.size(); k++) must(napi_set_element(env, groups, k, makeNumber(env, peer.groups[k])));
  napi_value object = makeObject(env);
  set(env, object, "listener", makeNumber(env, static_cast<double>(event.listener)));
  set(env, object, "pid", makeNumber(env, peer.pid));
  set(env, object, "uid", makeNumber(env, peer.uid));
  set(env, object, "gid", makeNumber(env, peer.gid));
  set(env, object, "groups", groups);
  return object;
}

napi_value valueOf(napi_env env, const Event& event) {
  napi_value value = nullptr;
  switch (event.kind) {
    case Event::Kind::kConnected:
      return makePeer(env, event);
    case Event::Kind::kLine:
      return makeBytes(env, event.line.bytes.data(), event.line.bytes.size());
    case Event::Kind::kClosed:
      return makeString(env, nameOf(event.ending));
    case Event::Kind::kExited:
      break;
  }
  must(napi_get_undefined(env, &value));
  return value;
}

napi_value makeDescriptors(napi_env env, const Event& event) {
  const std::vector<SharedDescriptor>& descriptors = event.line.descriptors;
  napi_value array = makeArray(env, descriptors.size());
  for (uint32_t k = 0; k < descriptors.size(); k++) {
    must(napi_set_element(env, array, k, wrap(env, DescriptorHandle{descriptors[k]})));
  }
  return array;
}

class Told : public Delivery {
 public:
  Told(std::weak_ptr<Sockets> sockets, Event event) : sockets_(std::move(sockets)), event_(std::move(event)) {}
  void run(napi_env) override {
    if (const std::shared_ptr<Sockets> sockets = sockets_.lock()) sockets->tell(event_);
  }

 private:
  const std::weak_ptr<Sockets> sockets_;
  const Event event_;
};

}  // namespace

std::shared_ptr<Sockets> Sockets::open(napi_env env, napi_value onEvent) {
  napi_valuetype type = napi_undefined;
  must(napi_typeof(env, onEvent, &type));
  if (type != napi_function) throw ArgumentError{"onEvent must be a function"};
  const auto environment = Environment::of(env);
  std::shared_ptr<Sockets> sockets(new Sockets(env, environment));
  must(napi_create_reference(env, onEvent, 1, &sockets->onEvent_));
  sockets->reactor_ = std::make_unique<Reactor>([environment, weak = std::weak_ptr<Sockets>(sockets)](Event event) {
    environment->deliver(std::make_unique<Told>(weak, std::move(event)));
  });
  const Status started = sockets->reactor_->start();
  if (!started.ok()) {
    sockets->close();
    throw StatusError{started};
  }
  environment->backgrounds.insert(sockets);
  return sockets;
}

Sockets::~Sockets() { end(); }

void Sockets::requireOpen() const {
  if (!open_) throw ArgumentError{"the sockets are closed"};
}

void Sockets::refresh() noexcept {
  const bool needed = open_ && reactor_->busy();
  if (needed == awaited_) return;
  awaited_ = needed;
  if (needed) environment_->await(env_);
  else environment_->unawait(env_);
}

void Sockets::close() noexcept {
  const std::shared_ptr<Sockets> self = shared_from_this();
  end();
  refresh();
  // Fails only while the environment ends, which drops it anyway.
  if (onEvent_ != nullptr) static_cast<void>(napi_delete_reference(env_, std::exchange(onEvent_, nullptr)));
  environment_->backgrounds.erase(self);
}

void Sockets::end() noexcept {
  open_ = false;
  if (reactor_ != nullptr) reactor_->stop();
}

void Sockets::tell(const Event& event) {
  if (!open_) return;
  const std::shared_ptr<Sockets> self = shared_from_this();
  try {
    napi_value onEvent = nullptr;
    napi_value receiver = nullptr;
    must(napi_get_reference_value(env_, onEvent_, &onEvent));
    must(napi_get_undefined(env_, &receiver));
    const napi_value connection = makeNumber(env_, static_cast<double>(event.connection));
    const napi_value arguments[] = {makeString(env_, nameOf(event.kind)), connection, valueOf(env_, event),
                                    makeDescriptors(env_, event)};
    must(napi_call_function(env_, receiver, onEvent, 4, arguments, nullptr));
  } catch (const NapiError&) {
    // The environment reports an exception of the function.
  } catch (const std::exception&) {
    throwHostMemory(env_);
  }
  if (open_ && event.kind == Event::Kind::kLine) reactor_->handled(event.connection);
  if (open_ && event.kind == Event::Kind::kClosed) reactor_->endingHandled();
  refresh();
}

}  // namespace vram

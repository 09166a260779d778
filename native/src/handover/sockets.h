// A reactor whose events reach a JavaScript function.
#ifndef VRAM_RESIDENCY_HANDOVER_SOCKETS_H
#define VRAM_RESIDENCY_HANDOVER_SOCKETS_H

#include <memory>

#include "../napi_glue.h"
#include "reactor.h"

namespace vram {

// Every method belongs to the environment's thread.
class Sockets : public Background, public std::enable_shared_from_this<Sockets> {
 public:
  // Starts the thread. Throws StatusError, NapiError and std::bad_alloc.
  static std::shared_ptr<Sockets> open(napi_env env, napi_value onEvent);
  ~Sockets() override;

  Reactor& reactor() { return *reactor_; }
  // Throws ArgumentError once they are closed.
  void requireOpen() const;
  // Keeps the process alive while a socket is open. After every call that opens or closes one.
  void refresh() noexcept;
  void close() noexcept;
  void end() noexcept override;
  void tell(const Event& event);

 private:
  Sockets(napi_env env, std::shared_ptr<Environment> environment) : env_(env), environment_(std::move(environment)) {}

  const napi_env env_;
  const std::shared_ptr<Environment> environment_;
  std::unique_ptr<Reactor> reactor_;
  napi_ref onEvent_ = nullptr;
  bool open_ = true;
  bool awaited_ = false;
};

}  // namespace vram

#endif

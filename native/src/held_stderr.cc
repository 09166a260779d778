#include "held_stderr.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace vram {

namespace {

// Far more than any driver writes; the rest is lost.
constexpr std::size_t kMaxText = std::size_t{1} << 20;

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int number() const { return number_; }
  bool valid() const { return number_ >= 0; }

 private:
  int number_;
};

// dup2 that retries after signals.
bool redirect(int from, int to) {
  for (;;) {
    if (::dup2(from, to) >= 0) return true;
    if (errno != EINTR && errno != EBUSY) return false;
  }
}

class HeldStderr {
 public:
  HeldStderr() : file_(::memfd_create("stderr", MFD_CLOEXEC)), own_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)) {
    std::fflush(stderr);
    held_ = file_.valid() && own_.valid() && redirect(file_.number(), STDERR_FILENO);
  }
  HeldStderr(const HeldStderr&) = delete;
  HeldStderr& operator=(const HeldStderr&) = delete;
  ~HeldStderr() { restore(); }

  // Restores stderr, and returns the text written meanwhile.
  std::string finish() {
    if (!restore()) return {};
    std::string text(kMaxText, '\0');
    std::size_t filled = 0;
    while (filled < text.size()) {
      const ssize_t count =
          ::pread(file_.number(), &text[filled], text.size() - filled, static_cast<off_t>(filled));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) break;
      filled += static_cast<std::size_t>(count);
    }
    text.resize(filled);
    return text;
  }

 private:
  bool restore() {
    if (!held_) return false;
    std::fflush(stderr);
    redirect(own_.number(), STDERR_FILENO);
    held_ = false;
    return true;
  }

  Descriptor file_;
  Descriptor own_;
  bool held_ = false;
};

}  // namespace

napi_value holdStderr(napi_env env, const Arguments& arguments) {
  napi_valuetype type = napi_undefined;
  must(napi_typeof(env, arguments[0], &type));
  if (type != napi_function) throw ArgumentError{"call must be a function"};
  napi_value result = makeObject(env);
  napi_value receiver = nullptr;
  must(napi_get_undefined(env, &receiver));
  HeldStderr held;
  napi_value value = nullptr;
  const napi_status status = napi_call_function(env, receiver, arguments[0], 0, nullptr, &value);
  const std::string text = held.finish();
  if (status != napi_ok) {
    // After a failure the captured text is not filtered.
    std::fwrite(text.data(), 1, text.size(), stderr);
    throw NapiError{};
  }
  set(env, result, "value", value);
  set(env, result, "text", makeString(env, text));
  return result;
}

}  // namespace vram

#include "file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "handover/descriptor_calls.h"

namespace vram {

namespace {

constexpr mode_t kMode = 0644;
// A process id and a newline.
constexpr std::size_t kMaxText = 16;

struct Taken {
  bool held = false;
  Descriptor file;
  // 0 if unknown.
  long holder = 0;
};

Status openFile(const std::string& path, Descriptor& out, bool& writable) {
  constexpr int kFlags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  out = Descriptor(open(path.c_str(), O_RDWR | O_CREAT | kFlags, kMode));
  writable = out.open();
  // A file of another user can still be locked.
  if (!writable && errno == EACCES) out = Descriptor(open(path.c_str(), O_RDONLY | kFlags));
  if (!out.open()) return Status::system("open", errno);
  struct statx found {};
  if (statx(out.get(), "", AT_EMPTY_PATH, STATX_TYPE, &found) != 0) return Status::system("statx", errno);
  return S_ISREG(found.stx_mode) ? Status{} : Status::fail(Failure::kPath, "is taken by something that is not a file");
}

// The holder's entry; any user with write access could have written it.
long readHolder(int file) {
  char text[kMaxText] = {};
  const ssize_t length = pread(file, text, kMaxText, 0);
  long pid = 0;
  for (ssize_t at = 0; at < length && text[at] >= '0' && text[at] <= '9'; at++) pid = pid * 10 + (text[at] - '0');
  return pid;
}

Status writeHolder(int file) {
  char text[kMaxText] = {};
  const int length = std::snprintf(text, sizeof text, "%d\n", static_cast<int>(getpid()));
  if (ftruncate(file, 0) != 0) return Status::system("ftruncate", errno);
  return pwrite(file, text, static_cast<std::size_t>(length), 0) == length ? Status{} : Status::system("pwrite", errno);
}

Status take(const std::string& path, Taken& out) {
  bool writable = false;
  VRAM_TRY(openFile(path, out.file, writable));
  int result = 0;
  do {
    result = flock(out.file.get(), LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result == 0) {
    out.held = true;
    return writable ? writeHolder(out.file.get()) : Status{};
  }
  if (errno != EWOULDBLOCK) return Status::system("flock", errno);
  out.holder = readHolder(out.file.get());
  return {};
}

}  // namespace

napi_value lockFile(napi_env env, const Arguments& arguments) {
  const std::string path = toString(env, arguments[0], "path");
  Taken taken;
  if (Status status = take(path, taken); !status.ok()) throw StatusError{std::move(status)};
  napi_value none = nullptr;
  must(napi_get_null(env, &none));
  napi_value answer = makeObject(env);
  const auto lock = taken.held ? std::make_shared<Descriptor>(std::move(taken.file)) : nullptr;
  set(env, answer, "lock", lock == nullptr ? none : wrap(env, DescriptorHandle{lock}));
  set(env, answer, "holder", taken.holder > 0 ? makeNumber(env, static_cast<double>(taken.holder)) : none);
  return answer;
}

}  // namespace vram

#include "socket_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

namespace vram {

namespace {

constexpr int kBacklog = 64;
constexpr int kLockAttempts = 50;
constexpr std::chrono::milliseconds kLockPause{20};

Status refused(const char* why) { return Status::fail(Failure::kPath, why); }

// The file at a path, by statx: stat() of a newer C library is bound to that library's version.
struct Found {
  bool exists = false;
  mode_t mode = 0;
  uid_t uid = 0;
  uint64_t inode = 0;
};

// 0, or the error; a missing file is not an error.
int inspect(const std::string& path, Found& out) {
  struct statx found {};
  if (statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &found) != 0) return errno == ENOENT ? 0 : errno;
  out = {true, static_cast<mode_t>(found.stx_mode), found.stx_uid, found.stx_ino};
  return 0;
}

// Held while a socket file is inspected, removed and made: two servers that start at once cannot remove each other's.
Status lockDirectory(const std::string& path, Descriptor& out) {
  const std::size_t slash = path.find_last_of('/');
  const std::string directory = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  Descriptor opened(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened.open()) return Status::system("open", errno);
  for (int attempt = 1; flock(opened.get(), LOCK_EX | LOCK_NB) != 0; attempt++) {
    if (errno != EWOULDBLOCK && errno != EINTR) return Status::system("flock", errno);
    if (attempt == kLockAttempts) return refused("is in a directory that another process keeps locked");
    std::this_thread::sleep_for(kLockPause);
  }
  out = std::move(opened);
  return {};
}

Status newSocket(Descriptor& out) {
  out = Descriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return out.open() ? Status{} : Status::system("socket", errno);
}

// Removes the stale socket of an ended server: one to which connecting is refused.
Status removeStale(const std::string& path, const sockaddr_un& address) {
  Found found;
  if (const int error = inspect(path, found)) return Status::system("statx", error);
  if (!found.exists) return {};
  if (!S_ISSOCK(found.mode)) return refused("is taken by a file that is not a socket");
  if (found.uid != geteuid()) return refused("is taken by a socket of another user");
  Descriptor probe;
  VRAM_TRY(newSocket(probe));
  // Non-blocking: EAGAIN means a live server with a full queue.
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno != ECONNREFUSED) {
    return refused("is taken: another server listens there");
  }
  return unlink(path.c_str()) == 0 || errno == ENOENT ? Status{} : Status::system("unlink", errno);
}

}  // namespace

Status addressOf(const std::string& path, sockaddr_un& out) {
  out = {};
  out.sun_family = AF_UNIX;
  // The last byte stays 0.
  if (path.empty() || path.size() >= sizeof out.sun_path) {
    return refused("must have 1 to 107 bytes, the limit of a socket address");
  }
  std::memcpy(out.sun_path, path.data(), path.size());
  return {};
}

Status SocketFile::listen(const std::string& path, mode_t mode, std::optional<gid_t> group,
                          std::unique_ptr<SocketFile>& out) {
  std::unique_ptr<SocketFile> file(new SocketFile(path));
  VRAM_TRY(file->open(mode, group));
  out = std::move(file);
  return {};
}

Status SocketFile::open(mode_t mode, std::optional<gid_t> group) {
  sockaddr_un address;
  VRAM_TRY(addressOf(path_, address));
  Descriptor lock;
  VRAM_TRY(lockDirectory(path_, lock));
  VRAM_TRY(removeStale(path_, address));
  VRAM_TRY(newSocket(socket_));
  // The file gets the socket's own mode less the umask, which belongs to the whole process and stays as it is.
  if (fchmod(socket_.get(), S_IRUSR | S_IWUSR) != 0) return Status::system("fchmod", errno);
  if (bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return errno == EADDRINUSE ? refused("is taken") : Status::system("bind", errno);
  }
  Found made;
  if (const int error = inspect(path_, made)) return Status::system("statx", error);
  inode_ = made.inode;
  // Before listen(): until then connecting is refused.
  if (group && lchown(path_.c_str(), static_cast<uid_t>(-1), *group) != 0) return Status::system("chown", errno);
  if (chmod(path_.c_str(), mode) != 0) return Status::system("chmod", errno);
  if (::listen(socket_.get(), kBacklog) != 0) return Status::system("listen", errno);
  return {};
}

SocketFile::~SocketFile() {
  Found found;
  const bool ours = inode_ != 0 && inspect(path_, found) == 0 && found.exists && found.inode == inode_;
  if (ours) static_cast<void>(unlink(path_.c_str()));
}

}  // namespace vram

#include "peer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59  // Linux 4.13
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434  // Linux 5.3
#endif

namespace vram {

namespace {

// Linux allows 65,536 groups (NGROUPS_MAX).
constexpr std::size_t kMaxGroups = 65536;

Status readGroups(const Descriptor& socket, std::vector<gid_t>& out) {
  // As many as the kernel reports when the buffer is too small.
  std::size_t room = 32;
  for (;;) {
    out.resize(room);
    auto length = static_cast<socklen_t>(room * sizeof(gid_t));
    if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERGROUPS, out.data(), &length) == 0) {
      out.resize(length / sizeof(gid_t));
      return {};
    }
    const int error = errno;
    const std::size_t needed = length / sizeof(gid_t);
    if (error != ERANGE || needed <= room || needed > kMaxGroups) return Status::system("getsockopt", error);
    room = needed;
  }
}

Descriptor descriptorOf(const Descriptor& socket, pid_t pid) {
  int value = -1;
  socklen_t length = sizeof value;
  // The kernel's record of the connecting process: its PID may since belong to another process.
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERPIDFD, &value, &length) == 0) return Descriptor(value);
  return Descriptor(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}

}  // namespace

Status readPeer(const Descriptor& socket, Peer& out) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    return Status::system("getsockopt", errno);
  }
  out.pid = credentials.pid;
  out.uid = credentials.uid;
  out.gid = credentials.gid;
  return readGroups(socket, out.groups);
}

std::shared_ptr<Process> openProcess(const Descriptor& socket, pid_t pid) {
  auto process = std::make_shared<Process>();
  process->pid = pid;
  if (pid == 0) return process;
  process->descriptor = descriptorOf(socket, pid);
  process->ended = !process->descriptor.open() && errno == ESRCH;
  // Both calls set it already, by their documentation; a descriptor that outlives exec() would be the child's.
  if (process->descriptor.open()) static_cast<void>(fcntl(process->descriptor.get(), F_SETFD, FD_CLOEXEC));
  return process;
}

bool stillRuns(const Process& process) {
  if (!process.descriptor.open()) return false;
  pollfd one{process.descriptor.get(), POLLIN, 0};
  return poll(&one, 1, 0) == 0;
}

}  // namespace vram

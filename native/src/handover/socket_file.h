// A listening Unix socket and its file.
#ifndef VRAM_RESIDENCY_HANDOVER_SOCKET_FILE_H
#define VRAM_RESIDENCY_HANDOVER_SOCKET_FILE_H

#include <sys/types.h>
#include <sys/un.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "../status.h"
#include "../descriptor.h"

namespace vram {

// Failure::kPath if its name does not fit.
Status addressOf(const std::string& path, sockaddr_un& out);

class SocketFile {
 public:
  // Makes the file with `mode`, and with `group` if there is one, before any client can connect. A stale socket of a
  // server that has ended is removed first if this user owns it. Waits at most a second for other processes that do the
  // same in the directory.
  static Status listen(const std::string& path, mode_t mode, std::optional<gid_t> group, std::unique_ptr<SocketFile>& out);
  // Removes the file if it is still the one made here.
  ~SocketFile();
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;

  const Descriptor& socket() const { return socket_; }

 private:
  explicit SocketFile(std::string path) : path_(std::move(path)) {}
  Status open(mode_t mode, std::optional<gid_t> group);

  const std::string path_;
  Descriptor socket_;
  // What bind() made; 0 before.
  uint64_t inode_ = 0;
};

}  // namespace vram

#endif

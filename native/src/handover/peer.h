// The peer of a Unix socket, as reported by the kernel.
#ifndef VRAM_RESIDENCY_HANDOVER_PEER_H
#define VRAM_RESIDENCY_HANDOVER_PEER_H

#include <sys/types.h>

#include <memory>
#include <vector>

#include "../status.h"
#include "../descriptor.h"

namespace vram {

// As of the moment at which it connected.
struct Peer {
  // 0 for a process in a PID namespace that this process does not see.
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  // Supplementary ones.
  std::vector<gid_t> groups;
};

// The process at the other end. Its descriptor becomes readable when the process ends; it is closed if that is unknown.
struct Process {
  pid_t pid = 0;
  Descriptor descriptor;
  // It was gone already.
  bool ended = false;
};

Status readPeer(const Descriptor& socket, Peer& out);

// Without a descriptor for a PID of 0, for a process that is gone, and before Linux 5.3.
std::shared_ptr<Process> openProcess(const Descriptor& socket, pid_t pid);
// It can be watched, and has not ended.
bool stillRuns(const Process& process);

}  // namespace vram

#endif

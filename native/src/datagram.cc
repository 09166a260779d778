#include "datagram.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include "descriptor.h"

namespace vram {

napi_value sendDatagram(napi_env env, const Arguments& arguments) {
  const std::string path = toString(env, arguments[0], "path");
  const std::string text = toString(env, arguments[1], "text");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) throw ArgumentError{"path must have 1 to 107 bytes"};
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path.front() == '@') address.sun_path[0] = '\0';
  const Descriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.open()) return makeBoolean(env, false);
  // A name in the abstract namespace is not null-terminated: it ends where the address ends.
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  const auto sent = ::sendto(socket.get(), text.data(), text.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&address), length);
  return makeBoolean(env, sent == static_cast<ssize_t>(text.size()));
}

}  // namespace vram

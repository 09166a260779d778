// Listening sockets, their connections, and the processes at the other end, watched by one thread. Events go to a sink.
// The owner's requests are carried out at once, on the owner's thread, and never wait for a peer.
#ifndef VRAM_RESIDENCY_HANDOVER_REACTOR_H
#define VRAM_RESIDENCY_HANDOVER_REACTOR_H

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "../status.h"
#include "connection.h"
#include "peer.h"
#include "socket_file.h"

namespace vram {

struct Event {
  enum class Kind {
    kConnected,  // listener, peer
    kLine,       // line
    kClosed,     // ending
    kExited,     // the process at the other end is gone
  };
  Event(Kind kind_, uint64_t connection_) : kind(kind_), connection(connection_) {}

  Kind kind;
  uint64_t connection;
  uint64_t listener = 0;
  Peer peer;
  Incoming line;
  Ending ending = Ending::kNone;
};

class Reactor {
 public:
  // Called under the reactor's lock, from any thread; the events of a connection come in order. May throw std::bad_alloc.
  using Sink = std::function<void(Event)>;

  explicit Reactor(Sink sink) : sink_(std::move(sink)) {}
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  Status start();
  // Closes everything; no further event is delivered. Safe to call twice.
  void stop();

  Status listen(std::unique_ptr<SocketFile> file, std::size_t maxLineBytes, uint64_t& listener);
  Status connect(const std::string& path, std::size_t maxLineBytes, uint64_t& connection);
  // Closes the listener; its connections stay open.
  void closeListener(uint64_t listener);

  // `message` is unchanged if the result is kFull. A closed connection accepts everything.
  Sending send(uint64_t connection, Outgoing& message);
  void closeConnection(uint64_t connection);
  // A line's handler has run: another line may be delivered.
  void handled(uint64_t connection);
  // A kClosed has been delivered.
  void endingHandled();
  // Reports kExited, now or later, unless the process cannot be watched.
  void watch(uint64_t connection);
  // Drops the connection: closes it if it is open and delivers no further events of it.
  void forget(uint64_t connection);

  // Whether anything is open, or has ended without its kClosed having been delivered.
  bool busy();

 private:
  struct Link {
    Link(Descriptor socket, std::size_t maxLineBytes, bool takesDescriptors)
        : connection(std::move(socket), maxLineBytes, takesDescriptors) {}
    Connection connection;
    std::shared_ptr<Process> process;
    unsigned unhandled = 0;
    // What epoll watches for.
    uint32_t interest = 0;
    Ending ending = Ending::kNone;
    bool endingTold = false;
  };
  struct Door {
    std::unique_ptr<SocketFile> file;
    std::size_t maxLineBytes;
  };
  struct Watch {
    std::shared_ptr<Process> process;
    std::vector<uint64_t> connections;
  };

  void loop();
  void turn(uint64_t key, uint32_t events);
  void accept(uint64_t id);
  void admit(uint64_t listener, const Door& door, Descriptor socket);
  void serve(uint64_t id, uint32_t events);
  void pump(uint64_t id, Link& link);
  void arm(uint64_t id, Link& link);
  void end(uint64_t id, Link& link, Ending ending);
  void tellEnding(uint64_t id, Link& link);
  void tryAgainSoon();
  void retry();
  Status add(uint64_t id, std::unique_ptr<Link> link);
  Link* find(uint64_t id);
  std::shared_ptr<Process> processAt(const Descriptor& socket, pid_t pid);
  void tellExit(pid_t pid);
  void dropWatch(pid_t pid);
  int timeout() const;
  void wake() const;

  const Sink sink_;
  std::mutex mutex_;
  Descriptor epoll_;
  Descriptor wakeUp_;
  std::thread thread_;
  bool stopping_ = false;
  uint64_t lastId_ = 0;
  std::map<uint64_t, Door> doors_;
  std::map<uint64_t, std::unique_ptr<Link>> links_;
  std::map<pid_t, Watch> watches_;
  // Keyed by process: each costs one descriptor, however often it connects.
  std::map<pid_t, std::weak_ptr<Process>> processes_;
  std::size_t openLinks_ = 0;
  // Links that have ended and whose kClosed has not been delivered.
  std::size_t endings_ = 0;
  // When to retry work that failed for lack of memory or descriptors.
  std::optional<std::chrono::steady_clock::time_point> retryAt_;
};

}  // namespace vram

#endif

#include "reactor.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <system_error>

namespace vram {

namespace {

constexpr std::size_t kMaxConnections = 256;
// Limit of one connection's undelivered lines; beyond it the socket is not read until their handlers have run.
constexpr unsigned kMaxUnhandled = 16;
// Limit of connections accepted from one listening socket before the others get their turn.
constexpr int kMaxAccepted = 16;
constexpr std::chrono::milliseconds kRetryPause{100};

// The data of an epoll event: a kind, and an id or a PID.
enum class Key : uint64_t { kWake, kDoor, kLink, kProcess };
constexpr int kKeyShift = 62;

uint64_t keyOf(Key kind, uint64_t id) { return static_cast<uint64_t>(kind) << kKeyShift | id; }
Key kindOf(uint64_t key) { return static_cast<Key>(key >> kKeyShift); }
uint64_t idOf(uint64_t key) { return key & ((uint64_t{1} << kKeyShift) - 1); }

int control(const Descriptor& epoll, int operation, int descriptor, uint32_t events, uint64_t key) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = key;
  return epoll_ctl(epoll.get(), operation, descriptor, &event);
}

}  // namespace

Reactor::~Reactor() { stop(); }

Status Reactor::start() {
  epoll_ = Descriptor(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.open()) return Status::system("epoll_create1", errno);
  wakeUp_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeUp_.open()) return Status::system("eventfd", errno);
  if (control(epoll_, EPOLL_CTL_ADD, wakeUp_.get(), EPOLLIN, keyOf(Key::kWake, 0)) != 0) {
    return Status::system("epoll_ctl", errno);
  }
  try {
    thread_ = std::thread([this] { loop(); });
  } catch (const std::system_error&) {
    return Status::fail(Failure::kHostThread, "the host starts no more threads");
  }
  return {};
}

void Reactor::stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    wake();
  }
  if (thread_.joinable()) thread_.join();
  const std::lock_guard<std::mutex> lock(mutex_);
  doors_.clear();
  links_.clear();
  watches_.clear();
  processes_.clear();
  openLinks_ = 0;
  endings_ = 0;
  wakeUp_.close();
  epoll_.close();
}

void Reactor::wake() const {
  const uint64_t one = 1;
  // Can only fail if the thread is already awake.
  static_cast<void>(write(wakeUp_.get(), &one, sizeof one));
}

void Reactor::loop() {
  std::array<epoll_event, 32> events{};
  for (;;) {
    int wait = -1;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stopping_) return;
      wait = timeout();
    }
    const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) return;
    for (int k = 0; k < count; k++) {
      const epoll_event& event = events[static_cast<std::size_t>(k)];
      turn(event.data.u64, event.events);
    }
    if (retryAt_ && std::chrono::steady_clock::now() >= *retryAt_) retry();
  }
}

int Reactor::timeout() const {
  if (!retryAt_) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*retryAt_ - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::max<decltype(left)>(left, 0));
}

void Reactor::tryAgainSoon() {
  retryAt_ = std::chrono::steady_clock::now() + kRetryPause;
  // The waiting thread does not know the new deadline yet.
  if (std::this_thread::get_id() != thread_.get_id()) wake();
}

// An exception that left the thread would end the process.
void Reactor::turn(uint64_t key, uint32_t events) {
  const uint64_t id = idOf(key);
  try {
    switch (kindOf(key)) {
      case Key::kWake: {
        uint64_t count = 0;
        static_cast<void>(read(wakeUp_.get(), &count, sizeof count));
        return;
      }
      case Key::kDoor:
        return accept(id);
      case Key::kLink:
        return serve(id, events);
      case Key::kProcess:
        return tellExit(static_cast<pid_t>(id));
    }
  } catch (const std::bad_alloc&) {
    Link* link = kindOf(key) == Key::kLink ? find(id) : nullptr;
    if (link != nullptr) end(id, *link, Ending::kFailed);
    else tryAgainSoon();
  }
}

Status Reactor::listen(std::unique_ptr<SocketFile> file, std::size_t maxLineBytes, uint64_t& listener) {
  const std::lock_guard<std::mutex> lock(mutex_);
  listener = ++lastId_;
  const int socket = file->socket().get();
  doors_.emplace(listener, Door{std::move(file), maxLineBytes});
  if (control(epoll_, EPOLL_CTL_ADD, socket, EPOLLIN, keyOf(Key::kDoor, listener)) == 0) return {};
  const int error = errno;
  doors_.erase(listener);
  return Status::system("epoll_ctl", error);
}

void Reactor::closeListener(uint64_t listener) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = doors_.find(listener);
  if (found == doors_.end()) return;
  static_cast<void>(control(epoll_, EPOLL_CTL_DEL, found->second.file->socket().get(), 0, 0));
  doors_.erase(found);
}

Status Reactor::connect(const std::string& path, std::size_t maxLineBytes, uint64_t& connection) {
  sockaddr_un address;
  VRAM_TRY(addressOf(path, address));
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.open()) return Status::system("socket", errno);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Status::system("connect", errno);
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  connection = ++lastId_;
  return add(connection, std::make_unique<Link>(std::move(socket), maxLineBytes, true));
}

Status Reactor::add(uint64_t id, std::unique_ptr<Link> link) {
  Link& added = *links_.emplace(id, std::move(link)).first->second;
  if (control(epoll_, EPOLL_CTL_ADD, added.connection.socket(), EPOLLIN, keyOf(Key::kLink, id)) != 0) {
    const int error = errno;
    links_.erase(id);
    return Status::system("epoll_ctl", error);
  }
  added.interest = EPOLLIN;
  openLinks_++;
  return {};
}

void Reactor::accept(uint64_t id) {
  const auto door = doors_.find(id);
  if (door == doors_.end()) return;
  const Descriptor& listening = door->second.file->socket();
  for (int k = 0; k < kMaxAccepted; k++) {
    Descriptor socket(accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket.open()) {
      // A connection above the limit is closed and reported as such.
      if (openLinks_ < kMaxConnections) admit(id, door->second, std::move(socket));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // The connection stays in the queue, and epoll would report it again at once.
      static_cast<void>(control(epoll_, EPOLL_CTL_MOD, listening.get(), 0, keyOf(Key::kDoor, id)));
      return tryAgainSoon();
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

void Reactor::admit(uint64_t listener, const Door& door, Descriptor socket) {
  Event event(Event::Kind::kConnected, ++lastId_);
  event.listener = listener;
  // A connection without a known peer is refused.
  if (!readPeer(socket, event.peer).ok()) return;
  const uint64_t id = event.connection;
  const std::shared_ptr<Process> process = processAt(socket, event.peer.pid);
  auto link = std::make_unique<Link>(std::move(socket), door.maxLineBytes, false);
  link->process = process;
  if (!add(id, std::move(link)).ok()) return;
  try {
    sink_(std::move(event));
  } catch (const std::bad_alloc&) {
    openLinks_--;
    links_.erase(id);
    throw;
  }
}

std::shared_ptr<Process> Reactor::processAt(const Descriptor& socket, pid_t pid) {
  std::weak_ptr<Process>& known = processes_[pid];
  std::shared_ptr<Process> process = known.lock();
  // While it runs its PID is not reused.
  if (process == nullptr || !stillRuns(*process)) {
    process = openProcess(socket, pid);
    known = process;
  }
  return process;
}

void Reactor::serve(uint64_t id, uint32_t events) {
  Link* link = find(id);
  if (link == nullptr || !link->connection.open()) return;
  if (link->connection.hasQueue() && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
    const Ending ending = link->connection.flush();
    if (ending != Ending::kNone) return end(id, *link, ending);
  }
  if ((link->interest & EPOLLIN) != 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    const Ending ending = link->connection.receive();
    if (ending != Ending::kNone) return end(id, *link, ending);
    pump(id, *link);
  }
  arm(id, *link);
}

// Delivers received lines, up to the limit of undelivered ones.
void Reactor::pump(uint64_t id, Link& link) {
  Ending ending = Ending::kNone;
  while (link.unhandled < kMaxUnhandled) {
    Event event(Event::Kind::kLine, id);
    if (!link.connection.nextLine(event.line, ending)) break;
    sink_(std::move(event));
    link.unhandled++;
  }
  if (ending != Ending::kNone) end(id, link, ending);
}

// A socket that is neither read nor written is taken out: epoll would keep reporting that its peer has hung up.
void Reactor::arm(uint64_t id, Link& link) {
  if (!link.connection.open()) return;
  const uint32_t events = (link.unhandled < kMaxUnhandled ? EPOLLIN : 0u) | (link.connection.hasQueue() ? EPOLLOUT : 0u);
  if (events == link.interest) return;
  const int operation = events == 0 ? EPOLL_CTL_DEL : link.interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (control(epoll_, operation, link.connection.socket(), events, keyOf(Key::kLink, id)) != 0) {
    return end(id, link, Ending::kFailed);
  }
  link.interest = events;
}

void Reactor::end(uint64_t id, Link& link, Ending ending) {
  if (!link.connection.open()) return;
  // A forked process that has not yet called exec() holds the socket too; epoll would keep watching it.
  if (link.interest != 0) static_cast<void>(control(epoll_, EPOLL_CTL_DEL, link.connection.socket(), 0, 0));
  link.connection.close();
  link.ending = ending;
  openLinks_--;
  endings_++;
  tellEnding(id, link);
}

void Reactor::tellEnding(uint64_t id, Link& link) {
  try {
    Event event(Event::Kind::kClosed, id);
    event.ending = link.ending;
    sink_(std::move(event));
    link.endingTold = true;
  } catch (const std::bad_alloc&) {
    tryAgainSoon();
  }
}

void Reactor::retry() {
  retryAt_.reset();
  for (auto& [id, link] : links_) {
    if (!link->connection.open() && !link->endingTold) tellEnding(id, *link);
  }
  for (const auto& [id, door] : doors_) {
    static_cast<void>(control(epoll_, EPOLL_CTL_MOD, door.file->socket().get(), EPOLLIN, keyOf(Key::kDoor, id)));
  }
}

Reactor::Link* Reactor::find(uint64_t id) {
  const auto found = links_.find(id);
  return found == links_.end() ? nullptr : found->second.get();
}

Sending Reactor::send(uint64_t connection, Outgoing& message) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Link* link = find(connection);
  if (link == nullptr || !link->connection.open()) return Sending::kSent;
  Ending ending = Ending::kNone;
  const Sending answer = link->connection.send(message, ending);
  if (ending != Ending::kNone) end(connection, *link, ending);
  else arm(connection, *link);
  return answer;
}

void Reactor::closeConnection(uint64_t connection) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Link* link = find(connection);
  if (link != nullptr) end(connection, *link, Ending::kServer);
}

void Reactor::handled(uint64_t connection) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Link* link = find(connection);
  if (link == nullptr || !link->connection.open()) return;
  link->unhandled--;
  pump(connection, *link);
  arm(connection, *link);
}

void Reactor::watch(uint64_t connection) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Link* link = find(connection);
  if (link == nullptr || link->process == nullptr) return;
  const std::shared_ptr<Process>& process = link->process;
  if (process->ended) return sink_(Event(Event::Kind::kExited, connection));
  if (!process->descriptor.open()) return;
  auto found = watches_.find(process->pid);
  if (found != watches_.end() && found->second.process != process) {
    // Another process had this PID, and has ended.
    tellExit(process->pid);
    found = watches_.end();
  }
  if (found == watches_.end()) {
    found = watches_.emplace(process->pid, Watch{process, {}}).first;
    const uint64_t key = keyOf(Key::kProcess, static_cast<uint64_t>(process->pid));
    static_cast<void>(control(epoll_, EPOLL_CTL_ADD, process->descriptor.get(), EPOLLIN, key));
  }
  found->second.connections.push_back(connection);
}

void Reactor::tellExit(pid_t pid) {
  const auto found = watches_.find(pid);
  if (found == watches_.end()) return;
  std::vector<uint64_t>& connections = found->second.connections;
  while (!connections.empty()) {
    sink_(Event(Event::Kind::kExited, connections.back()));
    connections.pop_back();
  }
  dropWatch(pid);
}

void Reactor::dropWatch(pid_t pid) {
  const auto found = watches_.find(pid);
  if (found == watches_.end()) return;
  static_cast<void>(control(epoll_, EPOLL_CTL_DEL, found->second.process->descriptor.get(), 0, 0));
  watches_.erase(found);
}

void Reactor::forget(uint64_t connection) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Link* link = find(connection);
  if (link == nullptr) return;
  end(connection, *link, Ending::kServer);
  // There was no memory to report it, and it will not be reported any more.
  if (!link->endingTold) endings_--;
  const std::shared_ptr<Process> process = std::move(link->process);
  links_.erase(connection);
  if (process == nullptr) return;
  const auto watch = watches_.find(process->pid);
  if (watch != watches_.end() && watch->second.process == process) {
    std::vector<uint64_t>& waiting = watch->second.connections;
    waiting.erase(std::remove(waiting.begin(), waiting.end(), connection), waiting.end());
    if (waiting.empty()) dropWatch(process->pid);
  }
  const auto known = processes_.find(process->pid);
  // Owned by this function alone, which releases it now.
  if (known != processes_.end() && known->second.use_count() <= 1) processes_.erase(known);
}

void Reactor::endingHandled() {
  const std::lock_guard<std::mutex> lock(mutex_);
  endings_--;
}

bool Reactor::busy() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return !doors_.empty() || openLinks_ > 0 || endings_ > 0;
}

}  // namespace vram

#include "connection.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace vram {

namespace {

constexpr std::size_t kChunkBytes = 16384;
// Limit of the bytes queued for a peer that does not read.
constexpr std::size_t kMaxQueuedBytes = 256 * 1024;
constexpr std::size_t kMaxQueuedLines = 64;
// Of one line.
constexpr std::size_t kMaxDescriptors = 8;

// Room for the control message that carries the descriptors of a line.
union Control {
  cmsghdr header;
  char bytes[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
};

Ending endingOf(int error) { return error == EPIPE || error == ECONNRESET ? Ending::kPeer : Ending::kFailed; }

// Owns all received descriptors, including those that the caller then refuses.
void takeDescriptors(msghdr& message, std::vector<SharedDescriptor>& out) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = std::min((header->cmsg_len - CMSG_LEN(0)) / sizeof(int), kMaxDescriptors);
    // Takes ownership of all of them first: later steps may fail for lack of memory.
    std::array<Descriptor, kMaxDescriptors> owned;
    for (std::size_t k = 0; k < count; k++) {
      int value = -1;
      std::memcpy(&value, CMSG_DATA(header) + k * sizeof value, sizeof value);
      owned[k] = Descriptor(value);
    }
    for (std::size_t k = 0; k < count; k++) out.push_back(std::make_shared<Descriptor>(std::move(owned[k])));
  }
}

}  // namespace

Ending Connection::receive() {
  std::string chunk;
  std::vector<SharedDescriptor> descriptors;
  const Ending ending = receiveChunk(chunk, descriptors);
  if (ending != Ending::kNone) return ending;
  if (chunk.find('\0') != std::string::npos) return Ending::kNulByte;
  dropTaken();
  arrived_ += chunk;
  for (SharedDescriptor& descriptor : descriptors) carried_.push_back({arrived_.size(), std::move(descriptor)});
  return carried_.size() > kMaxDescriptors ? Ending::kDescriptor : Ending::kNone;
}

Ending Connection::receiveChunk(std::string& chunk, std::vector<SharedDescriptor>& descriptors) {
  chunk.resize(kChunkBytes);
  iovec part{chunk.data(), chunk.size()};
  Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  // If there is no room for them the kernel closes descriptors instead of installing them, and reports it by MSG_CTRUNC.
  if (takesDescriptors_) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
  }
  const ssize_t got = recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  const int error = errno;
  chunk.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  if (got < 0) return error == EAGAIN || error == EWOULDBLOCK || error == EINTR ? Ending::kNone : endingOf(error);
  if (takesDescriptors_) takeDescriptors(message, descriptors);
  if ((message.msg_flags & MSG_CTRUNC) != 0) return Ending::kDescriptor;
  return got == 0 ? Ending::kPeer : Ending::kNone;
}

// Once per chunk: lines may be one byte long.
void Connection::dropTaken() {
  arrived_.erase(0, taken_);
  for (Carried& one : carried_) one.end -= taken_;
  searched_ -= taken_;
  taken_ = 0;
}

bool Connection::nextLine(Incoming& out, Ending& ending) {
  const std::size_t newline = arrived_.find('\n', searched_);
  const bool whole = newline != std::string::npos;
  const std::size_t end = whole ? newline + 1 : arrived_.size();
  // An incomplete line still lacks at least its newline.
  if (end - taken_ + (whole ? 0 : 1) > maxLineBytes_) {
    ending = Ending::kLineTooLong;
    return false;
  }
  searched_ = end;
  if (!whole) return false;
  out.bytes.assign(arrived_, taken_, newline - taken_);
  out.descriptors.clear();
  taken_ = end;
  const auto ofLine = [&](const Carried& one) { return one.end <= end; };
  const auto later = std::stable_partition(carried_.begin(), carried_.end(), ofLine);
  for (auto at = carried_.begin(); at != later; ++at) out.descriptors.push_back(std::move(at->descriptor));
  carried_.erase(carried_.begin(), later);
  return true;
}

Sending Connection::send(Outgoing& message, Ending& ending) {
  if (queue_.empty()) {
    ending = sendSome(message);
    if (ending != Ending::kNone || message.sent == message.bytes.size()) return Sending::kSent;
  } else if (queue_.size() == kMaxQueuedLines || queuedBytes_ + message.bytes.size() > kMaxQueuedBytes) {
    return Sending::kFull;
  }
  queuedBytes_ += message.bytes.size();
  queue_.push_back(std::move(message));
  return Sending::kQueued;
}

Ending Connection::flush() {
  while (!queue_.empty()) {
    Outgoing& message = queue_.front();
    const Ending ending = sendSome(message);
    if (ending != Ending::kNone) return ending;
    if (message.sent < message.bytes.size()) break;
    queuedBytes_ -= message.bytes.size();
    queue_.pop_front();
  }
  return Ending::kNone;
}

Ending Connection::sendSome(Outgoing& message) {
  while (message.sent < message.bytes.size()) {
    iovec part{message.bytes.data() + message.sent, message.bytes.size() - message.sent};
    Control control{};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    const std::size_t length = message.descriptors.size() * sizeof(int);
    if (length > 0) {
      header.msg_control = control.bytes;
      header.msg_controllen = CMSG_SPACE(length);
      cmsghdr* rights = CMSG_FIRSTHDR(&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(length);
      for (std::size_t k = 0; k < message.descriptors.size(); k++) {
        const int value = message.descriptors[k]->get();
        std::memcpy(CMSG_DATA(rights) + k * sizeof value, &value, sizeof value);
      }
    }
    const ssize_t went = sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (went < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK ? Ending::kNone : endingOf(errno);
    }
    message.sent += static_cast<std::size_t>(went);
    // The descriptors were sent with the first byte.
    message.descriptors.clear();
  }
  return Ending::kNone;
}

void Connection::close() {
  socket_.close();
  queue_.clear();
  carried_.clear();
  arrived_.clear();
}

}  // namespace vram

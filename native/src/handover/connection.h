// One connected Unix socket: lines in, lines with descriptors out. It never blocks: data that the peer does not read is
// queued, within bounds, and data that the process does not handle stays in the socket. Not safe to use from two
// threads at once.
#ifndef VRAM_RESIDENCY_HANDOVER_CONNECTION_H
#define VRAM_RESIDENCY_HANDOVER_CONNECTION_H

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "../descriptor.h"

namespace vram {

using SharedDescriptor = std::shared_ptr<Descriptor>;

// Why a connection ends.
enum class Ending {
  kNone,         // it goes on
  kPeer,         // the other side closed it, or died
  kLineTooLong,  // the next three: the other side sent what it must not
  kNulByte,
  kDescriptor,
  kFailed,  // the socket failed
  kServer,  // closed here
};

enum class Sending { kSent, kQueued, kFull };

// One line to send; the descriptors go out with its first byte.
struct Outgoing {
  std::string bytes;
  std::vector<SharedDescriptor> descriptors;
  std::size_t sent = 0;
};

// One received line, without its newline. A server's connection accepts no descriptors, a client's does.
struct Incoming {
  std::string bytes;
  std::vector<SharedDescriptor> descriptors;
};

class Connection {
 public:
  // Lines have at most `maxLineBytes` with their newline.
  Connection(Descriptor socket, std::size_t maxLineBytes, bool takesDescriptors)
      : socket_(std::move(socket)), maxLineBytes_(maxLineBytes), takesDescriptors_(takesDescriptors) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int socket() const { return socket_.get(); }
  bool open() const { return socket_.open(); }

  // Reads once. Called only when nextLine() has no more, so that the buffer stays below a line and a chunk.
  Ending receive();
  // False if there is no complete line; `ending` is then set if there will be none.
  bool nextLine(Incoming& out, Ending& ending);

  // Sends after what is queued. `message` is unchanged if the result is kFull. `ending` is set if the socket has failed.
  Sending send(Outgoing& message, Ending& ending);
  // Sends as much of the queue as the peer accepts.
  Ending flush();
  bool hasQueue() const { return !queue_.empty(); }

  // Drops the queue, descriptors included.
  void close();

 private:
  struct Carried {
    // The byte after the chunk that they came with: the chunk's last byte is in their line.
    std::size_t end;
    SharedDescriptor descriptor;
  };
  Ending receiveChunk(std::string& chunk, std::vector<SharedDescriptor>& descriptors);
  void dropTaken();
  Ending sendSome(Outgoing& message);

  Descriptor socket_;
  const std::size_t maxLineBytes_;
  const bool takesDescriptors_;
  std::string arrived_;
  // Bytes of it that lines have consumed.
  std::size_t taken_ = 0;
  // Where the search for a newline continues.
  std::size_t searched_ = 0;
  std::vector<Carried> carried_;
  std::list<Outgoing> queue_;
  std::size_t queuedBytes_ = 0;
};

}  // namespace vram

#endif

// Memory that threads copy to, and that can be withdrawn at any time.
#ifndef VRAM_RESIDENCY_SINK_H
#define VRAM_RESIDENCY_SINK_H

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

namespace vram {

// A thread reads a file into its own memory and copies the bytes here afterwards. A read that hangs, for instance on a
// network file system, therefore blocks only its own thread.
class Sink {
 public:
  struct Span {
    uint8_t* bytes;
    std::size_t length;
  };

  // The spans are one range; they must stay where they are until the sink is closed.
  explicit Sink(std::vector<Span> spans);
  ~Sink() { close(); }
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  std::size_t length() const { return length_; }

  // Copies the bytes to `offset`; the range is inside the sink. False, with nothing copied, once it is closed. From any
  // number of threads at once.
  bool put(std::size_t offset, const uint8_t* bytes, std::size_t length) noexcept;

  // Waits for copies in progress, which never block. Nothing is copied afterwards.
  void close() noexcept;

 private:
  bool enter() noexcept;
  void leave() noexcept;

  const std::vector<Span> spans_;
  std::size_t length_ = 0;
  std::mutex mutex_;
  std::condition_variable idle_;
  std::size_t copying_ = 0;
  bool closed_ = false;
};

}  // namespace vram

#endif

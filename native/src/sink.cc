#include "sink.h"

#include <algorithm>
#include <cstring>

namespace vram {

Sink::Sink(std::vector<Span> spans) : spans_(std::move(spans)) {
  for (const Span& span : spans_) length_ += span.length;
}

bool Sink::put(std::size_t offset, const uint8_t* bytes, std::size_t length) noexcept {
  if (!enter()) return false;
  for (const Span& span : spans_) {
    if (length == 0) break;
    if (offset >= span.length) {
      offset -= span.length;
      continue;
    }
    const std::size_t part = std::min(length, span.length - offset);
    std::memcpy(span.bytes + offset, bytes, part);
    bytes += part;
    length -= part;
    offset = 0;
  }
  leave();
  return true;
}

void Sink::close() noexcept {
  std::unique_lock<std::mutex> lock(mutex_);
  closed_ = true;
  idle_.wait(lock, [this] { return copying_ == 0; });
}

bool Sink::enter() noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return false;
  copying_++;
  return true;
}

void Sink::leave() noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (--copying_ == 0) idle_.notify_all();
}

}  // namespace vram

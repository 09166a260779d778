// An owning file descriptor.
#ifndef VRAM_RESIDENCY_DESCRIPTOR_H
#define VRAM_RESIDENCY_DESCRIPTOR_H

#include <unistd.h>

#include <utility>

namespace vram {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }

  int get() const { return value_; }
  bool open() const { return value_ >= 0; }
  void close() {
    // Linux releases the descriptor even when close() reports an error.
    if (open()) static_cast<void>(::close(std::exchange(value_, -1)));
  }

 private:
  int value_ = -1;
};

}  // namespace vram

#endif

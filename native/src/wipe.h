// Overwrites bytes that are not read again with zeros.
#ifndef VRAM_RESIDENCY_WIPE_H
#define VRAM_RESIDENCY_WIPE_H

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

namespace vram {

// A memset that the compiler cannot remove: the barrier makes the zeros observable.
inline void wipeBytes(void* memory, std::size_t length) {
  std::memset(memory, 0, length);
  __asm__ __volatile__("" : : "r"(memory) : "memory");
}

// Heap memory for weight bytes: wiped when its last owner is destroyed, also after a failure.
inline std::shared_ptr<uint8_t[]> wipedBytes(std::size_t length) {
  return std::shared_ptr<uint8_t[]>(new uint8_t[length], [length](uint8_t* bytes) {
    wipeBytes(bytes, length);
    delete[] bytes;
  });
}

}  // namespace vram

#endif

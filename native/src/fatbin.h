// Checks a CUDA fat binary before a driver reads it: drivers trust the sizes inside.
#ifndef VRAM_RESIDENCY_FATBIN_H
#define VRAM_RESIDENCY_FATBIN_H

#include <cstddef>

namespace vram {

// The fault of the container, as text that follows its name; null if its sizes add up to `length` and every entry lies
// inside. The driver judges the machine code itself.
const char* fatbinFault(const char* bytes, std::size_t length);

}  // namespace vram

#endif

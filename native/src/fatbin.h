// Checks a CUDA fat binary before a driver reads it: drivers trust the sizes that it contains.
#ifndef VRAM_RESIDENCY_FATBIN_H
#define VRAM_RESIDENCY_FATBIN_H

#include <cstddef>

namespace vram {

// What is wrong with the container, as text that follows its name; null if its sizes add up to `length` and every entry
// lies inside. The machine code itself is left to the driver to check.
const char* fatbinFault(const char* bytes, std::size_t length);

}  // namespace vram

#endif

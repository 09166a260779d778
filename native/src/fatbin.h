// A CUDA fat binary, as far as it has to be right before a driver may read it: a driver believes the sizes that it finds
// inside.
#ifndef VRAM_RESIDENCY_FATBIN_H
#define VRAM_RESIDENCY_FATBIN_H

#include <cstddef>

namespace vram {

// What is wrong with the container, in words that go behind its name; null if its sizes add up to `length` and every entry
// lies inside. The machine code within is the driver's to judge.
const char* fatbinFault(const char* bytes, std::size_t length);

}  // namespace vram

#endif

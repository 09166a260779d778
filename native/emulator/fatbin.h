// The PTX inside a CUDA fat binary. The interpreter runs only PTX: machine code and compressed entries are skipped.
#ifndef VRAM_RESIDENCY_EMULATOR_FATBIN_H
#define VRAM_RESIDENCY_EMULATOR_FATBIN_H

#include <optional>
#include <stdexcept>
#include <string>

namespace emulator {

struct FatbinError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

bool isFatbin(const void* image);
// The uncompressed PTX for the newest architecture that is no newer than `architecture` (75 for sm_75); none: no such
// entry. Like a driver, this receives only the start of the container and has to trust its header for the length.
// Errors: FatbinError.
std::optional<std::string> ptxOf(const void* image, int architecture);

}  // namespace emulator

#endif

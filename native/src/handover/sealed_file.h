// Immutable bytes in a memfd, which is sent to another process together with the memory.
#ifndef VRAM_RESIDENCY_HANDOVER_SEALED_FILE_H
#define VRAM_RESIDENCY_HANDOVER_SEALED_FILE_H

#include <cstddef>
#include <cstdint>
#include <memory>

#include "../status.h"
#include "../descriptor.h"

namespace vram {

// A new file with these bytes, sealed against writing, growing and shrinking.
Status makeSealedFile(const uint8_t* bytes, std::size_t length, Descriptor& out);

struct FileBytes {
  std::shared_ptr<uint8_t[]> data;
  std::size_t length = 0;
};

// The bytes of a descriptor that came from another process: refused unless it is a file sealed as above, of at most `limit`
// bytes.
Status readSealedFile(const Descriptor& file, std::size_t limit, FileBytes& out);

}  // namespace vram

#endif

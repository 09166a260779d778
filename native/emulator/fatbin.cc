#include "fatbin.h"

#include <cstdint>
#include <cstring>

namespace emulator {

namespace {

// Field by field as the toolkit's fatbinary 13.0 writes them, little-endian.
struct Header {
  uint32_t magic;
  uint16_t version, headerBytes;
  uint64_t contentBytes;
};
struct Entry {
  uint16_t kind, version;
  uint32_t headerBytes;
  uint64_t payloadBytes;
  uint32_t compressedBytes;
  uint32_t optionsOffset;
  uint16_t minor, major;
  uint32_t architecture;
};
static_assert(sizeof(Header) == 16 && sizeof(Entry) == 32, "layout of a fat binary");

constexpr uint32_t kMagic = 0xba55ed50;
constexpr uint32_t kSmallestEntryHeader = 64;
constexpr uint16_t kPtx = 1;

}  // namespace

bool isFatbin(const void* image) {
  // Byte by byte: text may be shorter than four.
  const unsigned char* bytes = static_cast<const unsigned char*>(image);
  return bytes[0] == 0x50 && bytes[1] == 0xed && bytes[2] == 0x55 && bytes[3] == 0xba;
}

std::optional<std::string> ptxOf(const void* image, int architecture) {
  Header header;
  std::memcpy(&header, image, sizeof header);
  if (header.magic != kMagic || header.version != 1 || header.headerBytes < sizeof header)
    throw FatbinError("not a fat binary");
  const char* at = static_cast<const char*>(image) + header.headerBytes;
  uint64_t left = header.contentBytes;
  std::optional<std::string> best;
  uint32_t bestArchitecture = 0;
  while (left > 0) {
    Entry entry;
    if (left < kSmallestEntryHeader) throw FatbinError("an entry is cut off");
    std::memcpy(&entry, at, sizeof entry);
    if (entry.headerBytes < kSmallestEntryHeader || entry.headerBytes > left)
      throw FatbinError("an entry's header leaves the container");
    if (entry.payloadBytes > left - entry.headerBytes) throw FatbinError("an entry leaves the container");
    const char* payload = at + entry.headerBytes;
    const bool fits = entry.architecture <= static_cast<uint32_t>(architecture) && entry.architecture >= bestArchitecture;
    if (entry.kind == kPtx && entry.compressedBytes == 0 && fits) {
      best = std::string(payload, strnlen(payload, entry.payloadBytes));
      bestArchitecture = entry.architecture;
    }
    at = payload + entry.payloadBytes;
    left -= entry.headerBytes + entry.payloadBytes;
  }
  return best;
}

}  // namespace emulator

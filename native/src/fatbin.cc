#include "fatbin.h"

#include <cstdint>
#include <cstring>

namespace vram {

namespace {

// All fields are little-endian: a header of 16 bytes, then entries, each with a header and a payload. This is what the
// toolkit's fatbinary writes; no specification is published.
constexpr uint32_t kMagic = 0xba55ed50;
constexpr uint16_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 16;
constexpr std::size_t kEntryHeaderBytes = 64;
constexpr uint16_t kPtx = 1;

template <typename T>
T readAt(const char* bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes + at, sizeof value);
  return value;
}

const char* entryFault(const char* entry, std::size_t left, std::size_t& size) {
  if (left < kEntryHeaderBytes) return "ends within an entry's header";
  const auto kind = readAt<uint16_t>(entry, 0);
  const auto header = readAt<uint32_t>(entry, 4);
  const auto payload = readAt<uint64_t>(entry, 8);
  const auto compressed = readAt<uint32_t>(entry, 16);
  if (header < kEntryHeaderBytes || header > left) return "has an entry with a header of a wrong size";
  if (payload == 0) return "has an empty entry";
  if (payload > left - header) return "has an entry that is larger than what is left of it";
  if (compressed > payload) return "has an entry with more compressed bytes than it holds";
  size = header + static_cast<std::size_t>(payload);
  // Text is read up to its end.
  if (kind == kPtx && compressed == 0 && entry[size - 1] != '\0') return "has PTX without an end";
  return nullptr;
}

}  // namespace

const char* fatbinFault(const char* bytes, std::size_t length) {
  if (length < kHeaderBytes) return "is shorter than its header";
  if (readAt<uint32_t>(bytes, 0) != kMagic) return "does not begin as a CUDA fat binary does";
  if (readAt<uint16_t>(bytes, 4) != kVersion) return "is of a version that is not known";
  if (readAt<uint16_t>(bytes, 6) != kHeaderBytes) return "has a header of a wrong size";
  const auto content = readAt<uint64_t>(bytes, 8);
  if (content > length - kHeaderBytes) return "is cut off: its header announces more bytes than there are";
  if (content < length - kHeaderBytes) return "has bytes behind its end";
  if (content == 0) return "holds nothing";
  for (std::size_t at = kHeaderBytes; at < length;) {
    std::size_t size = 0;
    if (const char* fault = entryFault(bytes + at, length - at, size)) return fault;
    at += size;
  }
  return nullptr;
}

}  // namespace vram

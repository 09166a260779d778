// The parts of SHA-256 (FIPS 180-4) that all block hashers share.
#ifndef VRAM_RESIDENCY_SHA256_H
#define VRAM_RESIDENCY_SHA256_H

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "block_hasher.h"

namespace vram {

constexpr std::size_t kRounds = 64;
// Bytes that one compression consumes.
constexpr std::size_t kChunkBytes = 64;
constexpr std::size_t kStateWords = kHashBytes / sizeof(uint32_t);

alignas(64) constexpr uint32_t kRoundConstants[kRounds] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

constexpr uint32_t kInitialState[kStateWords] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

// The last chunk of every block is padding alone: the bit 1, zeros, and the length in bits, big-endian: 4096 * 8 = 0x8000.
struct Padding {
  uint8_t bytes[kChunkBytes] = {};
  constexpr Padding() {
    bytes[0] = 0x80;
    bytes[kChunkBytes - 2] = 0x80;
  }
};
alignas(64) constexpr Padding kPadding;

inline void storeHash(const uint32_t* state, uint8_t* hash) {
  for (std::size_t word = 0; word < kStateWords; word++) {
    const uint32_t bigEndian = __builtin_bswap32(state[word]);
    std::memcpy(hash + word * sizeof bigEndian, &bigEndian, sizeof bigEndian);
  }
}

// Calls group(blocks, hashes) for every `lanes` blocks. A partial last group is filled up by repeating its last block,
// and the surplus hashes are dropped. `group` takes one pointer per lane.
template <std::size_t lanes, typename Group>
void hashInGroups(const uint8_t* blocks, std::size_t count, uint8_t* hashes, Group group) {
  const uint8_t* from[lanes];
  uint8_t out[lanes * kHashBytes];
  for (std::size_t first = 0; first < count; first += lanes) {
    const std::size_t used = count - first < lanes ? count - first : lanes;
    for (std::size_t lane = 0; lane < lanes; lane++) {
      from[lane] = blocks + (first + (lane < used ? lane : used - 1)) * kBlockBytes;
    }
    group(from, out);
    std::memcpy(hashes + first * kHashBytes, out, used * kHashBytes);
  }
}

}  // namespace vram

#endif

// Four blocks at once with ARMv8's cryptography extensions: four independent chains hide the latency of each instruction.
#if defined(__aarch64__)
#include <arm_neon.h>
#include <sys/auxv.h>

#include "sha256.h"

#if defined(__clang__)
#define VRAM_TARGET __attribute__((target("sha2")))
#else
#define VRAM_TARGET __attribute__((target("+crypto")))
#endif

namespace vram {

namespace {

constexpr std::size_t kLanes = 4;
// HWCAP_SHA2 from the kernel's headers, which some toolchains lack.
constexpr unsigned long kHardwareSha2 = 1ul << 6;

struct State {
  uint32x4_t abcd;
  uint32x4_t efgh;
};

// Compresses one chunk of each lane; afterwards `from` points past it.
VRAM_TARGET void compress(State* states, const uint8_t** from) {
  State now[kLanes];
  uint32x4_t words[kLanes][4];
  for (std::size_t lane = 0; lane < kLanes; lane++) now[lane] = states[lane];
#pragma GCC unroll 16
  for (std::size_t step = 0; step < kRounds / 4; step++) {
    const uint32x4_t constants = vld1q_u32(kRoundConstants + 4 * step);
#pragma GCC unroll 4
    for (std::size_t lane = 0; lane < kLanes; lane++) {
      uint32x4_t& word = words[lane][step % 4];
      if (step < 4) {
        word = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(from[lane] + 16 * step)));
      } else {
        const uint32x4_t partial = vsha256su0q_u32(word, words[lane][(step + 1) % 4]);
        word = vsha256su1q_u32(partial, words[lane][(step + 2) % 4], words[lane][(step + 3) % 4]);
      }
      const uint32x4_t added = vaddq_u32(word, constants);
      const uint32x4_t abcd = now[lane].abcd;
      now[lane].abcd = vsha256hq_u32(abcd, now[lane].efgh, added);
      now[lane].efgh = vsha256h2q_u32(now[lane].efgh, abcd, added);
    }
  }
  for (std::size_t lane = 0; lane < kLanes; lane++) {
    states[lane].abcd = vaddq_u32(states[lane].abcd, now[lane].abcd);
    states[lane].efgh = vaddq_u32(states[lane].efgh, now[lane].efgh);
    from[lane] += kChunkBytes;
  }
}

VRAM_TARGET void hashGroup(const uint8_t** from, uint8_t* hashes) {
  State states[kLanes];
  for (State& state : states) state = {vld1q_u32(kInitialState), vld1q_u32(kInitialState + 4)};
  for (std::size_t chunk = 0; chunk < kBlockBytes / kChunkBytes; chunk++) compress(states, from);
  for (std::size_t lane = 0; lane < kLanes; lane++) from[lane] = kPadding.bytes;
  compress(states, from);
  for (std::size_t lane = 0; lane < kLanes; lane++) {
    uint32_t state[kStateWords];
    vst1q_u32(state, states[lane].abcd);
    vst1q_u32(state + 4, states[lane].efgh);
    storeHash(state, hashes + lane * kHashBytes);
  }
}

bool supported() { return (getauxval(AT_HWCAP) & kHardwareSha2) != 0; }

void hash(const uint8_t* blocks, std::size_t count, uint8_t* hashes) {
  hashInGroups<kLanes>(blocks, count, hashes, hashGroup);
}

}  // namespace

const BlockHasher kArmv8Hasher{"armv8", supported, hash};

}  // namespace vram
#endif

// Four blocks at once with the x86 SHA extensions. An instruction does two rounds but has a latency of several cycles;
// four independent chains keep the unit busy.
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#include "sha256.h"

#define VRAM_TARGET __attribute__((target("sha,sse4.1,ssse3")))

namespace vram {

namespace {

constexpr std::size_t kLanes = 4;

// The state in the layout of the instructions: words A B E F in one register, C D G H in the other.
struct State {
  __m128i abef;
  __m128i cdgh;
};

// Compresses one chunk of each lane; afterwards `from` points past it.
VRAM_TARGET void compress(State* states, const uint8_t** from) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  State now[kLanes];
  __m128i words[kLanes][4];
  for (std::size_t lane = 0; lane < kLanes; lane++) now[lane] = states[lane];
#pragma GCC unroll 16
  for (std::size_t step = 0; step < kRounds / 4; step++) {
    const __m128i constants = _mm_load_si128(reinterpret_cast<const __m128i*>(kRoundConstants) + step);
#pragma GCC unroll 4
    for (std::size_t lane = 0; lane < kLanes; lane++) {
      __m128i& word = words[lane][step % 4];
      if (step < 4) {
        const __m128i* chunk = reinterpret_cast<const __m128i*>(from[lane]);
        word = _mm_shuffle_epi8(_mm_loadu_si128(chunk + step), swap);
      } else {
        const __m128i last = words[lane][(step + 3) % 4];
        const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(word, words[lane][(step + 1) % 4]),
                                          _mm_alignr_epi8(last, words[lane][(step + 2) % 4], 4));
        word = _mm_sha256msg2_epu32(sum, last);
      }
      const __m128i added = _mm_add_epi32(word, constants);
      now[lane].cdgh = _mm_sha256rnds2_epu32(now[lane].cdgh, now[lane].abef, added);
      now[lane].abef = _mm_sha256rnds2_epu32(now[lane].abef, now[lane].cdgh, _mm_shuffle_epi32(added, 0x0e));
    }
  }
  for (std::size_t lane = 0; lane < kLanes; lane++) {
    states[lane].abef = _mm_add_epi32(states[lane].abef, now[lane].abef);
    states[lane].cdgh = _mm_add_epi32(states[lane].cdgh, now[lane].cdgh);
    from[lane] += kChunkBytes;
  }
}

VRAM_TARGET void hashGroup(const uint8_t** from, uint8_t* hashes) {
  State states[kLanes];
  const uint32_t* const start = kInitialState;
  for (State& state : states) {
    state.abef = _mm_setr_epi32(static_cast<int>(start[5]), static_cast<int>(start[4]), static_cast<int>(start[1]),
                                static_cast<int>(start[0]));
    state.cdgh = _mm_setr_epi32(static_cast<int>(start[7]), static_cast<int>(start[6]), static_cast<int>(start[3]),
                                static_cast<int>(start[2]));
  }
  for (std::size_t chunk = 0; chunk < kBlockBytes / kChunkBytes; chunk++) compress(states, from);
  for (std::size_t lane = 0; lane < kLanes; lane++) from[lane] = kPadding.bytes;
  compress(states, from);
  for (std::size_t lane = 0; lane < kLanes; lane++) {
    alignas(16) uint32_t feba[4];
    alignas(16) uint32_t hgdc[4];
    _mm_store_si128(reinterpret_cast<__m128i*>(feba), states[lane].abef);
    _mm_store_si128(reinterpret_cast<__m128i*>(hgdc), states[lane].cdgh);
    const uint32_t state[kStateWords] = {feba[3], feba[2], hgdc[3], hgdc[2], feba[1], feba[0], hgdc[1], hgdc[0]};
    storeHash(state, hashes + lane * kHashBytes);
  }
}

bool supported() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  constexpr unsigned kSha = 1u << 29;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ebx & kSha) != 0 && __builtin_cpu_supports("sse4.1");
}

void hash(const uint8_t* blocks, std::size_t count, uint8_t* hashes) {
  hashInGroups<kLanes>(blocks, count, hashes, hashGroup);
}

}  // namespace

const BlockHasher kShaNiHasher{"sha-ni", supported, hash};

}  // namespace vram
#endif
